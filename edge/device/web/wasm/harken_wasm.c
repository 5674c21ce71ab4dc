/*
 * The engine as WebAssembly: the functions that engine.js calls. One stream per module, at the end of
 * the module's memory, which grows once, when the stream is opened. Samples and events pass through
 * the arrays below, so listening allocates nothing.
 */
#include "harken_stream.h"
#include "model_name.h"

#include "model_data.h"

#include <string.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define PAGE 65536u
#define SAMPLES 4096u /* most per call */
#define EVENTS 8

extern unsigned char __heap_base; /* end of the linker's data */

static harken_stream *stream;
static float samples[SAMPLES];
static struct { /* an event, as engine.js reads it: nine doubles */
    double label, confidence, acoustic, start_sample, end_sample, foreseen;
    double faint, faint_confidence, faint_sample;
} words[EVENTS];
static uint32_t share[256]; /* a habit's shares */
static float level[2];

EXPORT("version") uint32_t version(void) { return HARKEN_VERSION; }

/* Start listening at a rate. Returns HARKEN_OK or an error; HARKEN_ERROR_SIZE: out of memory. */
EXPORT("open") int32_t open_stream(uint32_t rate_hz) {
    size_t size = harken_stream_bytes(&HARKEN_MODEL, rate_hz);
    if (!size) return HARKEN_ERROR_RANGE;
    uintptr_t start = ((uintptr_t)&__heap_base + 7) & ~(uintptr_t)7;
    size_t pages = (start + size + PAGE - 1) / PAGE, there = __builtin_wasm_memory_size(0);
    if (pages > there && __builtin_wasm_memory_grow(0, pages - there) == (size_t)-1)
        return HARKEN_ERROR_SIZE;
    return harken_stream_init(&stream, (void *)start, size, &HARKEN_MODEL, rate_hz);
}

EXPORT("reset") int32_t reset(void) { return harken_stream_reset(stream); }

EXPORT("samples") float *samples_place(void) { return samples; }

/* Process n samples, float32 or int16, from samples[]. Returns the number of words in words[]. */
EXPORT("feed") int32_t feed(uint32_t n, uint32_t int16) {
    harken_event events[EVENTS];
    if (n > SAMPLES) return HARKEN_ERROR_LENGTH;
    int count = int16 ? harken_stream_feed16(stream, (const int16_t *)(const void *)samples, n,
                                             events, EVENTS)
                      : harken_stream_feed(stream, samples, n, events, EVENTS);
    for (int i = 0; i < count; i++) {
        words[i].label = events[i].label;
        words[i].confidence = events[i].confidence / 16777216.0;
        words[i].acoustic = events[i].acoustic / 16777216.0;
        words[i].start_sample = (double)events[i].start_sample;
        words[i].end_sample = (double)events[i].end_sample;
        words[i].foreseen = harken_foreseen(harken_stream_engine(stream)) / 268435456.0;
        words[i].faint = events[i].faint;
        words[i].faint_confidence = events[i].faint_confidence / 16777216.0;
        words[i].faint_sample = (double)events[i].faint_sample;
    }
    return count;
}

EXPORT("words") void *words_place(void) { return words; }

EXPORT("threshold") int32_t threshold(uint32_t label, double value) {
    return harken_stream_threshold(stream, label, (uint32_t)(value * 16777216.0 + 0.5));
}

EXPORT("sensitivity") int32_t sensitivity(double factor) {
    return harken_stream_sensitivity(stream, (uint32_t)(factor * 65536.0 + 0.5));
}

EXPORT("expecting") int32_t expecting(int32_t on) { return harken_stream_expecting(stream, on); }

EXPORT("share") uint32_t *share_place(void) { return share; }

/* `learned`: whether share[] holds a habit. */
EXPORT("pending") int32_t pending(uint32_t what, uint32_t learned) {
    harken *engine = harken_stream_engine(stream);
    return learned ? harken_pending_habit(engine, what, share) : harken_pending(engine, what);
}

EXPORT("forget") int32_t forget(void) { return harken_forget(harken_stream_engine(stream)); }

/* Peak and mean square since the last call. */
EXPORT("level") float *take_level(void) {
    harken_stream_level(stream, &level[0], &level[1]);
    return level;
}

EXPORT("posteriors") const uint32_t *posteriors(void) {
    return harken_posteriors(harken_stream_engine(stream));
}

EXPORT("logits") const int8_t *logits(void) { return harken_logits(harken_stream_engine(stream)); }

EXPORT("features") const int8_t *features(void) {
    return harken_features(harken_stream_engine(stream));
}

EXPORT("awake") int32_t awake(void) { return harken_awake(harken_stream_engine(stream)); }

EXPORT("steps") double step_count(void) {
    return (double)harken_steps(harken_stream_engine(stream));
}

/* ----------------------------------------------------- the parts of the C library that it needs --- */

void *memcpy(void *to, const void *from, size_t n) { return memmove(to, from, n); }

void *memmove(void *to, const void *from, size_t n) {
    unsigned char *a = to;
    const unsigned char *b = from;
    if (a < b)
        for (size_t i = 0; i < n; i++) a[i] = b[i];
    else
        while (n--) a[n] = b[n];
    return to;
}

void *memset(void *to, int value, size_t n) {
    unsigned char *a = to;
    for (size_t i = 0; i < n; i++) a[i] = (unsigned char)value;
    return to;
}
