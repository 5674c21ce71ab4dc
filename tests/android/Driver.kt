// What the library does in a Java virtual machine: a line for each thing that a test asks.
import android.content.Context
import android.content.pm.PackageManager
import android.media.AudioRecord
import harken.voice.Microphone
import harken.voice.MicrophoneException
import harken.voice.Spotter
import harken.voice.Word
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread

fun say(what: String, value: Any?) = println("$what\t$value")

fun refused(what: String, action: () -> Unit) = try {
    action()
    say(what, "nothing was thrown")
} catch (problem: Exception) {
    say(what, "${problem.javaClass.simpleName}: ${problem.message}")
}

fun bytes(file: File): ByteBuffer = ByteBuffer.wrap(file.readBytes()).order(ByteOrder.LITTLE_ENDIAN)

fun shorts(file: File): ShortArray =
    bytes(file).asShortBuffer().let { ShortArray(it.remaining()).also { out -> it.get(out) } }

fun floats(file: File): FloatArray =
    bytes(file).asFloatBuffer().let { FloatArray(it.remaining()).also { out -> it.get(out) } }

fun text(words: List<Word>): String =
    words.joinToString(" ") { "${it.word}/${it.startSample}/${it.endSample}" }

class App(private val permission: Int = PackageManager.PERMISSION_GRANTED) : Context() {
    override fun checkSelfPermission(permission: String): Int = this.permission
}

fun spotter(golden: File) {
    val pcm = shorts(File(golden, "pcm.s16le"))
    say("check", Spotter.check())
    say("model", "${Spotter.modelName} ${Spotter.modelRateHz}")
    say("labels", Spotter.labels.joinToString(" "))
    say("words", Spotter.words.joinToString(" "))
    say("pending names", Spotter.pendingNames.joinToString("|"))
    say("pcm", Spotter().use { text(it.feed(pcm)) })
    say("pcm in parts", Spotter().use { spotter ->
        text((0 until pcm.size step 331).flatMap { spotter.feed(pcm, it, minOf(331, pcm.size - it)) })
    })
    say("44100", Spotter(44100).use { text(it.feed(shorts(File(golden, "44100.s16le")))) })
    say("48000", Spotter(48000).use { text(it.feed(floats(File(golden, "48000.f32le")))) })

    Spotter().use { spotter ->
        val first = text(spotter.feed(pcm, 0, 64000))
        spotter.reset()
        say("again after a reset", text(spotter.feed(pcm, 0, 64000)) == first)
        say("sum of the posteriors", Math.round(spotter.posteriors.sum() * 1000) / 1000f)
        say("peak", spotter.level().peak > 0.01f && spotter.level().peak == 0f)
        spotter.reset()
        spotter.setThreshold("left", 1f)
        val others = spotter.feed(pcm, 0, 68000)
        say("left that needs all evidence", text(others))
        say("faint", others.map { it.faint?.run { "$word/${Math.round(confidence * 16777216)}/$endSample" } })
        spotter.setThreshold("left", null)
        spotter.reset()
        say("left as the model has it", text(spotter.feed(pcm, 0, 64000)) == first)
        spotter.sensitivity = 1f / 64
        spotter.reset()
        say("words of the least sensitivity", spotter.feed(pcm).size)
        spotter.sensitivity = 1f
        for (name in Spotter.pendingNames) spotter.pending(name)
        spotter.forget()
        spotter.expecting = false
        spotter.reset()
        say("not expecting", text(spotter.feed(pcm)))
        say("what is not finite", spotter.feed(FloatArray(16000) { Float.NaN }).size)
    }
}

fun errors() {
    for (rate in listOf(-1, 0, 7999, 192001, 44056)) refused("rate $rate") { Spotter(rate) }
    val spotter = Spotter(48000)
    refused("word") { spotter.setThreshold("lamp", 0.5f) }
    refused("label that is no word") { spotter.setThreshold(Spotter.labels.last(), 0.5f) }
    for (value in listOf(0f, 1.5f, Float.NaN)) {
        refused("threshold $value") { spotter.setThreshold("left", value) }
    }
    for (value in listOf(0f, 65f, Float.NaN)) {
        refused("sensitivity $value") { spotter.sensitivity = value }
    }
    say("sensitivity", spotter.sensitivity)
    refused("pending") { spotter.pending("nothing that it knows") }
    refused("offset") { spotter.feed(ShortArray(10), 11) }
    refused("negative offset") { spotter.feed(FloatArray(10), -1, 5) }
    refused("count") { spotter.feed(FloatArray(10), 5, 6) }
    refused("huge count") { spotter.feed(FloatArray(10), 5, Int.MAX_VALUE) }
    say("no samples", spotter.feed(ShortArray(0)).size)
    spotter.close()
    spotter.close()
    refused("closed: feed") { spotter.feed(ShortArray(480)) }
    refused("closed: reset") { spotter.reset() }
    refused("closed: level") { spotter.level() }
    refused("closed: posteriors") { spotter.posteriors }
    refused("closed: sensitivity") { spotter.sensitivity = 2f }
    refused("closed: expecting") { spotter.expecting = false }
    refused("closed: threshold") { spotter.setThreshold("left", null) }
    refused("closed: forget") { spotter.forget() }
}

fun threads(golden: File) {
    val pcm = shorts(File(golden, "pcm.s16le"))
    val heard = Array(8) { "" }
    heard.indices.map { i -> thread { Spotter().use { heard[i] = text(it.feed(pcm)) } } }
        .forEach { it.join() }
    say("eight threads", heard.distinct().joinToString(";"))

    // Many feed one spotter while it is closed: each ends with the one exception, and no other.
    val shared = Spotter()
    val ends = Array(8) { "" }
    val running = CountDownLatch(ends.size)
    val feeders = ends.indices.map { i ->
        thread {
            try {
                while (true) {
                    shared.feed(pcm, 0, 4800)
                    running.countDown()
                }
            } catch (problem: Exception) {
                ends[i] = "${problem.javaClass.simpleName}: ${problem.message}"
            }
        }
    }
    running.await()
    shared.close()
    feeders.forEach { it.join() }
    say("closed while fed", ends.distinct().joinToString(";"))
}

/** Listen to the stand-in's sound until it ends; return words and problem. */
fun listen(microphone: (onWord: (Word) -> Unit, onProblem: (MicrophoneException) -> Unit) -> Microphone): String {
    val words = ArrayList<Word>()
    var said = ""
    val ended = CountDownLatch(1)
    val made = microphone({ words.add(it) }, { said = it.message ?: ""; ended.countDown() })
    made.start()
    made.start() // does nothing
    check(ended.await(10, TimeUnit.SECONDS)) { "it listens for ever" }
    made.close()
    return "${text(words)}; $said; ${made.spotter.rateHz} Hz; ${AudioRecord.inUse} in use"
}

fun microphone(golden: File) {
    val pcm = shorts(File(golden, "pcm.s16le")).copyOf(96000)
    AudioRecord.sound = pcm
    say("microphone", listen { onWord, onProblem -> Microphone(App(), onWord, onProblem) })
    AudioRecord.end = 0
    say("no more sound", listen { onWord, onProblem -> Microphone(App(), onWord, onProblem) })
    AudioRecord.end = AudioRecord.ERROR_DEAD_OBJECT
    AudioRecord.lowestRate = 44100
    AudioRecord.sound = ShortArray(4410)
    say("another rate", listen { onWord, onProblem -> Microphone(App(), onWord, onProblem) })
    AudioRecord.lowestRate = 1000000
    refused("no rate") { Microphone(App(), {}, {}) }
    AudioRecord.lowestRate = 8000
    AudioRecord.sound = pcm

    val denied = Microphone(App(PackageManager.PERMISSION_DENIED), {}, {})
    refused("no permission") { denied.start() }
    val mine = Microphone(App(), {}, {})
    AudioRecord.busy = true
    refused("busy") { mine.start() }
    AudioRecord.busy = false
    AudioRecord.refuses = true
    refused("refuses") { mine.start() }
    AudioRecord.refuses = false
    say("in use after errors", AudioRecord.inUse)

    // Stopped within a callback: no word comes after it, and no problem.
    var words = 0
    var problems = 0
    val stopped = CountDownLatch(1)
    var self: Microphone? = null
    self = Microphone(App(), { words++; self!!.stop(); stopped.countDown() }, { problems++ })
    self.start()
    stopped.await(10, TimeUnit.SECONDS)
    self.close()
    for (i in 0 until 100) if (AudioRecord.inUse > 0) Thread.sleep(20)
    say("stopped by a callback", "$words $problems ${AudioRecord.inUse}")
    refused("closed: start") { self.start() }

    // Begun again after it was lost: from the first sample on.
    val again = ArrayList<Word>()
    val lost = arrayOf(CountDownLatch(1), CountDownLatch(1))
    var turn = 0
    Microphone(App(), { again.add(it) }, { lost[turn++].countDown() }).use { microphone ->
        for (latch in lost) {
            microphone.start()
            latch.await(10, TimeUnit.SECONDS)
        }
    }
    say("begun again", text(again))
}

fun main(args: Array<String>) {
    val golden = File(args[0])
    spotter(golden)
    errors()
    threads(golden)
    microphone(golden)
    say("end", AudioRecord.inUse)
}
