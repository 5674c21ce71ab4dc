/*
 * The native side of harken.voice.Native in Kotlin: a stream is passed as a number, words in an
 * array. Arguments that Spotter.kt has checked are not checked again.
 */
#include <jni.h>
#include <string.h>

#include "harken_app.h"

#define CHUNK 1024 /* most samples per call; Native.CHUNK */
#define WORDS 16   /* most words per call, one per step; Native.WORDS */
#define FIELDS 8   /* numbers per word; Native.FIELDS */
#define LETTERS 512 /* most UTF-16 units of a string; a word has 100 bytes */

#define NATIVE(type, name) \
    JNIEXPORT type JNICALL Java_harken_voice_Native_##name
#define NOT_USED(x) (void)(x)

static harken_stream *stream(jlong handle) { return (harken_stream *)(intptr_t)handle; }

NATIVE(jint, open)(JNIEnv *env, jclass type, jint rate_hz, jlongArray out) {
    NOT_USED(type);
    harken_stream *s;
    int status = harken_open(&s, rate_hz > 0 ? (uint32_t)rate_hz : 0);
    jlong handle = (jlong)(intptr_t)s;
    (*env)->SetLongArrayRegion(env, out, 0, 1, &handle);
    return status;
}

NATIVE(void, close)(JNIEnv *env, jclass type, jlong handle) {
    NOT_USED(env);
    NOT_USED(type);
    harken_close(stream(handle));
}

/* Write words as numbers; return how many there are, or the error. */
static jint words(JNIEnv *env, const harken_event *events, int count, jlongArray out) {
    jlong numbers[WORDS * FIELDS];
    if (count <= 0) return count;
    if (count > WORDS) count = WORDS;
    for (int i = 0; i < count; i++) {
        jlong *word = numbers + i * FIELDS;
        word[0] = events[i].label;
        word[1] = events[i].confidence;
        word[2] = events[i].acoustic;
        word[3] = (jlong)events[i].start_sample;
        word[4] = (jlong)events[i].end_sample;
        word[5] = events[i].faint == HARKEN_NO_WORD ? -1 : events[i].faint;
        word[6] = events[i].faint_confidence;
        word[7] = (jlong)events[i].faint_sample;
    }
    (*env)->SetLongArrayRegion(env, out, 0, count * FIELDS, numbers);
    return count;
}

NATIVE(jint, feedShorts)(JNIEnv *env, jclass type, jlong handle, jshortArray samples, jint offset,
                         jint count, jlongArray out) {
    NOT_USED(type);
    jshort chunk[CHUNK];
    harken_event events[WORDS];
    if (count > CHUNK) return HARKEN_ERROR_LENGTH;
    (*env)->GetShortArrayRegion(env, samples, offset, count, chunk);
    if ((*env)->ExceptionCheck(env)) return 0;
    return words(env, events,
                 harken_stream_feed16(stream(handle), chunk, (size_t)count, events, WORDS), out);
}

NATIVE(jint, feedFloats)(JNIEnv *env, jclass type, jlong handle, jfloatArray samples, jint offset,
                         jint count, jlongArray out) {
    NOT_USED(type);
    jfloat chunk[CHUNK];
    harken_event events[WORDS];
    if (count > CHUNK) return HARKEN_ERROR_LENGTH;
    (*env)->GetFloatArrayRegion(env, samples, offset, count, chunk);
    if ((*env)->ExceptionCheck(env)) return 0;
    return words(env, events,
                 harken_stream_feed(stream(handle), chunk, (size_t)count, events, WORDS), out);
}

NATIVE(jint, reset)(JNIEnv *env, jclass type, jlong handle) {
    NOT_USED(env);
    NOT_USED(type);
    return harken_stream_reset(stream(handle));
}

NATIVE(jint, threshold)(JNIEnv *env, jclass type, jlong handle, jint label, jint threshold) {
    NOT_USED(env);
    NOT_USED(type);
    return harken_stream_threshold(stream(handle), (unsigned)label, (uint32_t)threshold);
}

NATIVE(jint, sensitivity)(JNIEnv *env, jclass type, jlong handle, jint factor) {
    NOT_USED(env);
    NOT_USED(type);
    return harken_stream_sensitivity(stream(handle), (uint32_t)factor);
}

NATIVE(jint, expecting)(JNIEnv *env, jclass type, jlong handle, jboolean expecting) {
    NOT_USED(env);
    NOT_USED(type);
    return harken_stream_expecting(stream(handle), expecting);
}

NATIVE(jint, pending)(JNIEnv *env, jclass type, jlong handle, jint pending) {
    NOT_USED(env);
    NOT_USED(type);
    return harken_pending(harken_stream_engine(stream(handle)), (unsigned)pending);
}

NATIVE(jint, forget)(JNIEnv *env, jclass type, jlong handle) {
    NOT_USED(env);
    NOT_USED(type);
    return harken_forget(harken_stream_engine(stream(handle)));
}

/* One per label, Q28. */
NATIVE(void, posteriors)(JNIEnv *env, jclass type, jlong handle, jintArray out) {
    NOT_USED(type);
    jint numbers[256];
    jsize count = (jsize)harken_labels();
    memcpy(numbers, harken_posteriors(harken_stream_engine(stream(handle))),
           sizeof *numbers * (size_t)count);
    (*env)->SetIntArrayRegion(env, out, 0, count, numbers);
}

/* Peak and mean square. */
NATIVE(void, level)(JNIEnv *env, jclass type, jlong handle, jfloatArray out) {
    NOT_USED(type);
    jfloat numbers[2] = {0, 0};
    harken_stream_level(stream(handle), numbers, numbers + 1);
    (*env)->SetFloatArrayRegion(env, out, 0, 2, numbers);
}

/* JNI's modified UTF-8 differs from UTF-8 beyond 16 bits, so strings are passed as UTF-16. */
static jstring text(JNIEnv *env, const char *string) {
    jchar units[LETTERS];
    jsize n = 0;
    if (!string) return NULL;
    while (*string && n + 2 <= LETTERS) {
        unsigned char first = (unsigned char)*string++;
        int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
        uint32_t code = more ? first & (0x3fu >> more) : first;
        for (; more && *string; more--) code = code << 6 | ((unsigned char)*string++ & 0x3fu);
        if (code >= 0x10000) {
            units[n++] = (jchar)(0xd7c0 + (code >> 10));
            units[n++] = (jchar)(0xdc00 + (code & 0x3ff));
        } else {
            units[n++] = (jchar)code;
        }
    }
    return (*env)->NewString(env, units, n);
}

NATIVE(jstring, label)(JNIEnv *env, jclass type, jint label) {
    NOT_USED(type);
    return text(env, harken_label((unsigned)label));
}

NATIVE(jstring, pendingName)(JNIEnv *env, jclass type, jint pending) {
    NOT_USED(type);
    return text(env, harken_pending_name((unsigned)pending));
}

NATIVE(jstring, error)(JNIEnv *env, jclass type, jint status) {
    NOT_USED(type);
    return text(env, harken_error(status));
}

NATIVE(jstring, modelName)(JNIEnv *env, jclass type) {
    NOT_USED(type);
    return text(env, harken_model_name());
}

NATIVE(jint, modelRate)(JNIEnv *env, jclass type) {
    NOT_USED(env);
    NOT_USED(type);
    return (jint)harken_model_rate();
}

/* Q24; 0 for a label that is not a word. */
NATIVE(jint, modelThreshold)(JNIEnv *env, jclass type, jint label) {
    NOT_USED(env);
    NOT_USED(type);
    return (jint)harken_model_threshold((unsigned)label);
}

NATIVE(jint, check)(JNIEnv *env, jclass type) {
    NOT_USED(env);
    NOT_USED(type);
    return harken_check();
}
