package harken.voice

/**
 * A detected word.
 *
 * @property word the word
 * @property confidence the evidence that decided it, 0 to 1
 * @property acoustic the same without the context (what was said before)
 * @property startSample first sample of the evidence, at the model's rate, since the reset
 * @property endSample samples processed when the decision was made
 * @property faint the clearest faint word before it, after the last word; null without one, or
 *     without a prior
 */
data class Word(
    val word: String,
    val confidence: Float,
    val acoustic: Float,
    val startSample: Long,
    val endSample: Long,
    val faint: Faint? = null
)

/**
 * A word that almost fired: its evidence rose to half of what it needs or more, and fell.
 *
 * @property word the word
 * @property confidence its highest evidence, 0 to 1
 * @property endSample samples processed at that moment
 */
data class Faint(val word: String, val confidence: Float, val endSample: Long)

/**
 * The level of the audio; full scale is 1.
 *
 * @property peak largest magnitude of a sample
 * @property meanSquare mean of the squared samples
 */
data class Level(val peak: Float, val meanSquare: Float)
