package harken.voice

import java.io.Closeable

/**
 * Samples in, words out.
 *
 *     Spotter(48000).use { spotter ->
 *         for (word in spotter.feed(samples)) println(word.word)
 *     }
 *
 * Thread-safe: calls are serialized. After [close], every function throws IllegalStateException.
 * Without close(), the memory is held until the process ends.
 *
 * @param rateHz rate of the samples, 8,000 to 192,000; the model's rate, the default, is cheapest
 * @throws IllegalArgumentException for a rate that cannot be converted
 */
class Spotter @JvmOverloads constructor(val rateHz: Int = modelRateHz) : Closeable {
    private val lock = Any()
    private val found = LongArray(Native.WORDS * Native.FIELDS)
    private var handle = 0L

    init {
        val out = LongArray(1)
        val status = Native.open(rateHz, out)
        if (status == ERROR_MEMORY) throw OutOfMemoryError("harken: ${Native.error(status)}")
        require(status == 0) {
            "rateHz is $rateHz; it must be the rate of the audio, 8000 to 192000, such as 48000"
        }
        handle = out[0]
    }

    /** Posteriors of the last step: one number from 0 to 1 for each of [labels]. */
    val posteriors: FloatArray
        get() = open { handle ->
            val numbers = IntArray(labels.size)
            Native.posteriors(handle, numbers)
            FloatArray(numbers.size) { numbers[it] / Q28 }
        }

    /** Divides the odds that every word needs, 1/64 to 64; 1 keeps the model's thresholds. */
    var sensitivity: Float = 1f
        set(value) = open { handle ->
            require(value >= 1f / 64 && value <= 64f) {
                "sensitivity is $value; it must be between 1/64 and 64"
            }
            done(Native.sensitivity(handle, Math.round(value * 65536)))
            field = value
        }

    /** Whether the context (what was said before) affects detection, for a model with a prior. */
    var expecting: Boolean = true
        set(value) = open { handle ->
            done(Native.expecting(handle, value))
            field = value
        }

    /** Process samples, mono, and return the words that they complete. */
    @JvmOverloads
    fun feed(samples: ShortArray, offset: Int = 0, count: Int = samples.size - offset): List<Word> =
        feed(samples.size, offset, count) { handle, from, n ->
            Native.feedShorts(handle, samples, from, n, found)
        }

    /** The same for samples with full scale at 1; samples that are not finite count as 0. */
    @JvmOverloads
    fun feed(samples: FloatArray, offset: Int = 0, count: Int = samples.size - offset): List<Word> =
        feed(samples.size, offset, count) { handle, from, n ->
            Native.feedFloats(handle, samples, from, n, found)
        }

    /** Start over: the next sample is sample 0. Thresholds keep their settings. */
    fun reset() = open { handle -> done(Native.reset(handle)) }

    /**
     * Set the evidence that a word needs.
     *
     * @param word one of [words]
     * @param threshold more than 0, up to 1; null: the model's threshold
     */
    fun setThreshold(word: String, threshold: Float?) = open { handle ->
        require(word in words) { "word is \"$word\"; the words are ${words.joinToString()}" }
        require(threshold == null || threshold > 0f && threshold <= 1f) {
            "threshold is $threshold; it must be more than 0, and at most 1"
        }
        val number = if (threshold == null) 0 else maxOf(1, Math.round(threshold * Q24))
        done(Native.threshold(handle, labels.indexOf(word), number))
    }

    /** The level since the last call. */
    fun level(): Level = open { handle ->
        val numbers = FloatArray(2)
        Native.level(handle, numbers)
        Level(numbers[0], numbers[1])
    }

    /**
     * Set what the app waits for after the last word, so that it needs less evidence.
     *
     * @param name one of [pendingNames]; "" for nothing
     */
    fun pending(name: String) = open { handle ->
        require(name in pendingNames) {
            if (pendingNames.isEmpty()) "the model $modelName has no prior, so nothing can be pending"
            else "name is \"$name\"; it must be one of ${pendingNames.joinToString { "\"$it\"" }}"
        }
        done(Native.pending(handle, pendingNames.indexOf(name)))
    }

    /** Forget the words said so far, and nothing else. */
    fun forget() = open { handle -> if (pendingNames.isNotEmpty()) done(Native.forget(handle)) }

    /** Free the memory. Closing twice is allowed. */
    override fun close() = synchronized(lock) {
        if (handle != 0L) Native.close(handle)
        handle = 0L
    }

    private inline fun feed(
        size: Int, offset: Int, count: Int, native: (Long, Int, Int) -> Int
    ): List<Word> = open { handle ->
        if (offset < 0 || count < 0 || count > size - offset) {
            throw IndexOutOfBoundsException("offset $offset and count $count of $size samples")
        }
        var heard: MutableList<Word>? = null
        var from = offset
        while (from < offset + count) {
            val n = minOf(Native.CHUNK, offset + count - from)
            val words = done(native(handle, from, n))
            for (i in 0 until words) heard = (heard ?: ArrayList()).also { it.add(word(i)) }
            from += n
        }
        heard ?: emptyList<Word>()
    }

    private fun word(i: Int): Word {
        val at = i * Native.FIELDS
        return Word(
            word = labels[found[at].toInt()],
            confidence = found[at + 1] / Q24,
            acoustic = found[at + 2] / Q24,
            startSample = found[at + 3],
            endSample = found[at + 4],
            faint = if (found[at + 5] < 0) null
            else Faint(labels[found[at + 5].toInt()], found[at + 6] / Q24, found[at + 7])
        )
    }

    private inline fun <T> open(use: (Long) -> T): T = synchronized(lock) {
        check(handle != 0L) { "the spotter is closed" }
        use(handle)
    }

    private fun done(status: Int): Int {
        check(status >= 0) { "harken: ${Native.error(status)}" }
        return status
    }

    companion object {
        private const val Q24 = 16777216f
        private const val Q28 = 268435456f
        private const val ERROR_MEMORY = -100

        /** The name of the model in the library. */
        @JvmStatic val modelName: String = Native.modelName()

        /** The rate at which positions in a [Word] count; feeding audio at this rate is cheapest. */
        @JvmStatic val modelRateHz: Int = Native.modelRate()

        /** Everything the model distinguishes: the words, "unknown" and "silence". */
        @JvmStatic val labels: List<String> =
            generateSequence(0) { it + 1 }.map { Native.label(it) }.takeWhile { it != null }
                .filterNotNull().toList()

        /** The words that can be detected. */
        @JvmStatic val words: List<String> =
            labels.filterIndexed { label, _ -> Native.modelThreshold(label) > 0 }

        /** The names that [pending] accepts; empty for a model without a prior. */
        @JvmStatic val pendingNames: List<String> =
            generateSequence(0) { it + 1 }.map { Native.pendingName(it) }.takeWhile { it != null }
                .filterNotNull().toList()

        /** Whether results on this device equal those at export; takes about 0.1 s. */
        @JvmStatic fun check(): Boolean = Native.check() == 0
    }
}
