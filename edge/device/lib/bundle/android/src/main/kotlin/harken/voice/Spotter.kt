package harken.voice

import java.io.Closeable

/**
 * Samples in, words out.
 *
 *     Spotter(48000).use { spotter ->
 *         for (word in spotter.feed(samples)) println(word.word)
 *     }
 *
 * Any thread may call any function: one waits for another. Who has closed it gets an
 * IllegalStateException from then on. What is not closed keeps its memory until the process ends.
 *
 * @param rateHz rate of the samples, 8,000 to 192,000; the model's rate, which is the default,
 *     costs least
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
            "rateHz is $rateHz; it must be the rate of the sound, 8000 to 192000, such as 48000"
        }
        handle = out[0]
    }

    /** What was heard last of what the model knows: one number from 0 to 1 for each of [labels]. */
    val posteriors: FloatArray
        get() = open { handle ->
            val numbers = IntArray(labels.size)
            Native.posteriors(handle, numbers)
            FloatArray(numbers.size) { numbers[it] / Q28 }
        }

    /** The odds that every word needs are divided by this: 1 as the model has it, 1/64 to 64. */
    var sensitivity: Float = 1f
        set(value) = open { handle ->
            require(value >= 1f / 64 && value <= 64f) {
                "sensitivity is $value; it must be between 1/64 and 64"
            }
            done(Native.sensitivity(handle, Math.round(value * 65536)))
            field = value
        }

    /** Whether what was said before changes what is heard, for a model that knows of it. */
    var expecting: Boolean = true
        set(value) = open { handle ->
            done(Native.expecting(handle, value))
            field = value
        }

    /** Take in samples, mono, and give out the words that they complete. */
    @JvmOverloads
    fun feed(samples: ShortArray, offset: Int = 0, count: Int = samples.size - offset): List<Word> =
        feed(samples.size, offset, count) { handle, from, n ->
            Native.feedShorts(handle, samples, from, n, found)
        }

    /** The same for samples with full scale at 1; what is not finite counts as 0. */
    @JvmOverloads
    fun feed(samples: FloatArray, offset: Int = 0, count: Int = samples.size - offset): List<Word> =
        feed(samples.size, offset, count) { handle, from, n ->
            Native.feedFloats(handle, samples, from, n, found)
        }

    /** Forget everything heard: the next sample is sample 0. Thresholds stay as they were set. */
    fun reset() = open { handle -> done(Native.reset(handle)) }

    /**
     * Set the evidence from which a word is heard.
     *
     * @param word one of [words]
     * @param threshold more than 0, up to 1; null: as the model has it
     */
    fun setThreshold(word: String, threshold: Float?) = open { handle ->
        require(word in words) { "word is \"$word\"; the words are ${words.joinToString()}" }
        require(threshold == null || threshold > 0f && threshold <= 1f) {
            "threshold is $threshold; it must be more than 0, and at most 1"
        }
        val number = if (threshold == null) 0 else maxOf(1, Math.round(threshold * Q24))
        done(Native.threshold(handle, labels.indexOf(word), number))
    }

    /** How loud it was since the last call. */
    fun level(): Level = open { handle ->
        val numbers = FloatArray(2)
        Native.level(handle, numbers)
        Level(numbers[0], numbers[1])
    }

    /**
     * Say what you wait for since the last word, so that it needs less evidence.
     *
     * @param name one of [pendingNames]; "" for nothing
     */
    fun pending(name: String) = open { handle ->
        require(name in pendingNames) {
            if (pendingNames.isEmpty()) "the model $modelName does not know what was said before"
            else "name is \"$name\"; it must be one of ${pendingNames.joinToString { "\"$it\"" }}"
        }
        done(Native.pending(handle, pendingNames.indexOf(name)))
    }

    /** Forget the words that were said, and nothing else. */
    fun forget() = open { handle -> if (pendingNames.isNotEmpty()) done(Native.forget(handle)) }

    /** Give the memory back. To close twice is no mistake. */
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
            endSample = found[at + 4]
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

        /** The rate of the positions in a [Word], and that which costs least. */
        @JvmStatic val modelRateHz: Int = Native.modelRate()

        /** All that the model tells apart: the words, and what is none. */
        @JvmStatic val labels: List<String> =
            generateSequence(0) { it + 1 }.map { Native.label(it) }.takeWhile { it != null }
                .filterNotNull().toList()

        /** The words that can be heard. */
        @JvmStatic val words: List<String> =
            labels.filterIndexed { label, _ -> Native.modelThreshold(label) > 0 }

        /** What [pending] takes; nothing for a model that does not know what was said before. */
        @JvmStatic val pendingNames: List<String> =
            generateSequence(0) { it + 1 }.map { Native.pendingName(it) }.takeWhile { it != null }
                .filterNotNull().toList()

        /** Whether the library answers on this device as it did where it was made: some 0.1 s. */
        @JvmStatic fun check(): Boolean = Native.check() == 0
    }
}
