package harken.voice

import android.Manifest
import android.content.Context
import android.content.pm.PackageManager
import android.media.AudioFormat
import android.media.AudioRecord
import android.media.MediaRecorder
import android.os.Process
import java.io.Closeable

/** The microphone is unavailable or was lost; the message says what to do. */
class MicrophoneException @JvmOverloads constructor(message: String, cause: Throwable? = null) :
    Exception(message, cause)

/**
 * Listens to the microphone on its own thread.
 *
 *     val microphone = Microphone(context, { word -> handler.post { show(word) } }, { problem -> … })
 *     microphone.start()
 *
 * Callbacks run on that thread: to touch views, post to the main thread. They may call [stop].
 * start, stop and close may be called from any thread.
 *
 * @param context used to check the permission
 * @param onWord called with each word
 * @param onProblem called when the microphone is lost while listening; listening has then stopped
 * @throws MicrophoneException no microphone has a usable sample rate
 */
class Microphone(
    private val context: Context,
    private val onWord: (Word) -> Unit,
    private val onProblem: (MicrophoneException) -> Unit
) : Closeable {
    /** Fed by the microphone; use it for thresholds, level and posteriors. Do not feed it yourself. */
    val spotter: Spotter

    private val bytes: Int
    private val lock = Any()
    private var listening: Listening? = null

    init {
        val (rate, needed) = RATES.map { it to bufferBytes(it) }.firstOrNull { it.second > 0 }
            ?: throw MicrophoneException("this device has no microphone that supports a rate of $RATES")
        // Half a second of buffer, so that a garbage collection loses no audio.
        bytes = maxOf(needed, rate * BYTES_A_SAMPLE / 2)
        spotter = Spotter(rate)
    }

    /**
     * Start listening from a reset state. Does nothing while it already listens.
     *
     * @throws MicrophoneException the permission is missing, or another app has the microphone
     */
    fun start() {
        synchronized(lock) {
            if (listening?.goesOn == true) return
            val permission = context.checkSelfPermission(Manifest.permission.RECORD_AUDIO)
            if (permission != PackageManager.PERMISSION_GRANTED) {
                throw MicrophoneException(
                    "the permission RECORD_AUDIO is missing: ask with requestPermissions first"
                )
            }
            spotter.reset()
            listening = Listening(opened()).also { it.thread.start() }
        }
    }

    /** Stop listening, and release the microphone. */
    fun stop() {
        val ended = synchronized(lock) { listening.also { listening = null } } ?: return
        ended.goesOn = false
        // Called from a callback, the thread ends by itself afterwards.
        if (Thread.currentThread() !== ended.thread) ended.thread.join()
    }

    /** Stop, and close the spotter. */
    override fun close() {
        stop()
        spotter.close()
    }

    private fun opened(): AudioRecord {
        val record = try {
            AudioRecord(
                MediaRecorder.AudioSource.VOICE_RECOGNITION, spotter.rateHz,
                AudioFormat.CHANNEL_IN_MONO, AudioFormat.ENCODING_PCM_16BIT, bytes
            )
        } catch (problem: IllegalArgumentException) {
            throw MicrophoneException("this device refuses ${spotter.rateHz} Hz, mono", problem)
        }
        var started = false
        try {
            if (record.state != AudioRecord.STATE_INITIALIZED) {
                throw MicrophoneException("the microphone cannot be opened: try again")
            }
            record.startRecording()
            if (record.recordingState != AudioRecord.RECORDSTATE_RECORDING) {
                throw MicrophoneException("another app is using the microphone: close it, and try again")
            }
            started = true
        } catch (problem: IllegalStateException) {
            throw MicrophoneException("the microphone cannot be started: try again", problem)
        } finally {
            if (!started) record.release()
        }
        return record
    }

    private inner class Listening(private val record: AudioRecord) {
        val thread = Thread({ listen() }, "harken-microphone")

        @Volatile var goesOn = true

        private fun listen() {
            Process.setThreadPriority(Process.THREAD_PRIORITY_AUDIO)
            val samples = ShortArray(spotter.rateHz / BUFFERS_A_SECOND)
            var problem: MicrophoneException? = null
            try {
                while (goesOn) {
                    val n = record.read(samples, 0, samples.size)
                    if (n < 0) problem = lost(n)
                    if (n <= 0) break
                    spotter.feed(samples, 0, n).forEach(onWord)
                }
                if (goesOn && problem == null) problem = lost(0)
            } finally {
                goesOn = false
                record.release()
            }
            problem?.let(onProblem)
        }

        private fun lost(code: Int): MicrophoneException? = when {
            !goesOn -> null
            code == AudioRecord.ERROR_DEAD_OBJECT ->
                MicrophoneException("the microphone is gone: call start() again")
            else -> MicrophoneException("the microphone stopped sending audio ($code): call start() again")
        }
    }

    private companion object {
        const val BYTES_A_SAMPLE = 2
        const val BUFFERS_A_SECOND = 50

        /** In order of preference; every device must support 44,100 Hz. */
        val RATES = listOf(Spotter.modelRateHz, 48000, 44100)

        fun bufferBytes(rate: Int): Int = AudioRecord.getMinBufferSize(
            rate, AudioFormat.CHANNEL_IN_MONO, AudioFormat.ENCODING_PCM_16BIT
        )
    }
}
