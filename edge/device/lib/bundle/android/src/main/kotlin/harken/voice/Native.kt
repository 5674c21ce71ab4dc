package harken.voice

/** The functions of harken_jni.c. A status below 0 is an error. */
internal object Native {
    /** Most samples per call of a feed function. */
    const val CHUNK = 1024

    /** Most words that such a call writes, and the numbers of each. */
    const val WORDS = 16
    const val FIELDS = 8

    init {
        System.loadLibrary("harken")
    }

    @JvmStatic external fun open(rateHz: Int, out: LongArray): Int

    @JvmStatic external fun close(handle: Long)

    @JvmStatic external fun feedShorts(
        handle: Long, samples: ShortArray, offset: Int, count: Int, out: LongArray
    ): Int

    @JvmStatic external fun feedFloats(
        handle: Long, samples: FloatArray, offset: Int, count: Int, out: LongArray
    ): Int

    @JvmStatic external fun reset(handle: Long): Int

    @JvmStatic external fun threshold(handle: Long, label: Int, threshold: Int): Int

    @JvmStatic external fun sensitivity(handle: Long, factor: Int): Int

    @JvmStatic external fun expecting(handle: Long, expecting: Boolean): Int

    @JvmStatic external fun pending(handle: Long, pending: Int): Int

    @JvmStatic external fun forget(handle: Long): Int

    @JvmStatic external fun posteriors(handle: Long, out: IntArray)

    @JvmStatic external fun level(handle: Long, out: FloatArray)

    @JvmStatic external fun label(label: Int): String?

    @JvmStatic external fun pendingName(pending: Int): String?

    @JvmStatic external fun error(status: Int): String

    @JvmStatic external fun modelName(): String

    @JvmStatic external fun modelRate(): Int

    @JvmStatic external fun modelThreshold(label: Int): Int

    @JvmStatic external fun check(): Int
}
