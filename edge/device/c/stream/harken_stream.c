#include "harken_stream.h"

#include <string.h>

#include "harken_resample.h"

#define ONE24 (UINT32_C(1) << 24)
#define UP8(n) (((size_t)(n) + 7) & ~(size_t)7)

/* Followed in memory by: thresholds [2][n_labels] (as set by the user, and in effect); the engine;
 * and, at a rate other than the model's, the resampler's bank and history. */
struct harken_stream {
    harken_model model; /* a copy that uses the thresholds in effect */
    harken_detector detector;
    const harken_model *original;
    harken *engine;
    uint32_t *set; /* Q24; 0: the model's */
    uint32_t *threshold;
    harken_resampler resampler;
    double squares; /* sum of squares since the last call of harken_stream_level */
    uint32_t n_squares;
    float peak;
    uint32_t sensitivity; /* Q16 */
    uint8_t converts;
    uint8_t expecting;
};

size_t harken_stream_bytes(const harken_model *model, uint32_t rate_hz) {
    if (!model || rate_hz < HARKEN_STREAM_MIN_RATE || rate_hz > HARKEN_STREAM_MAX_RATE) return 0;
    size_t bytes = UP8(sizeof(harken_stream)) + UP8(8 * (size_t)model->n_labels) + harken_bytes(model);
    if (rate_hz == model->sample_rate_hz) return bytes;
    size_t more = harken_resample_bytes(rate_hz, model->sample_rate_hz);
    return more ? bytes + UP8(more) : 0;
}

/* Compute the thresholds in effect from those that are set. */
static void apply(harken_stream *s) {
    const harken_detector *original = s->original->detector;
    uint32_t least = ONE24, was = ONE24; /* the lowest threshold, now and in the model */
    for (uint32_t i = 0; i < s->model.n_labels; i++) {
        uint32_t threshold = s->set[i] ? s->set[i] : original->threshold[i];
        if (threshold <= ONE24 && s->sensitivity != 65536) {
            double odds = (double)threshold * 65536, rest = (double)(ONE24 - threshold);
            threshold = (uint32_t)(ONE24 * (odds / (odds + rest * s->sensitivity)));
        }
        s->threshold[i] = threshold ? threshold : 1;
        if (s->threshold[i] < least) least = s->threshold[i];
        if (original->threshold[i] < was) was = original->threshold[i];
    }
    /* Negligible evidence must stay below every threshold. */
    uint64_t negligible = original->negligible;
    s->detector.negligible = (uint32_t)(least < was ? negligible * least / was : negligible);
}

int harken_stream_init(harken_stream **out, void *memory, size_t size, const harken_model *model,
                       uint32_t rate_hz) {
    if (!out) return HARKEN_ERROR_NULL;
    *out = NULL;
    if (!memory || !model) return HARKEN_ERROR_NULL;
    if (model->version != HARKEN_VERSION) return HARKEN_ERROR_VERSION;
    if ((uintptr_t)memory & 7) return HARKEN_ERROR_ALIGNMENT;
    size_t bytes = harken_stream_bytes(model, rate_hz);
    if (!bytes) return HARKEN_ERROR_RANGE;
    if (size < bytes) return HARKEN_ERROR_SIZE;

    harken_stream *s = (harken_stream *)memory;
    uint8_t *at = (uint8_t *)memory + UP8(sizeof *s);
    memset(s, 0, sizeof *s);
    s->original = model;
    s->model = *model;
    s->detector = *model->detector;
    s->model.detector = &s->detector;
    s->set = (uint32_t *)(void *)at;
    s->threshold = s->set + model->n_labels;
    s->detector.threshold = s->threshold;
    memset(s->set, 0, 4 * (size_t)model->n_labels);
    s->sensitivity = 65536;
    s->expecting = 1;
    apply(s);
    at += UP8(8 * (size_t)model->n_labels);
    int status = harken_init(&s->engine, at, harken_bytes(model), &s->model);
    if (status != HARKEN_OK) return status;
    s->converts = rate_hz != model->sample_rate_hz;
    if (s->converts)
        harken_resample_init(&s->resampler, at + harken_bytes(model), rate_hz, model->sample_rate_hz);
    *out = s;
    return HARKEN_OK;
}

int harken_stream_reset(harken_stream *s) {
    if (!s) return HARKEN_ERROR_NULL;
    if (s->converts) harken_resample_reset(&s->resampler);
    s->squares = 0;
    s->n_squares = 0;
    s->peak = 0;
    return harken_reset(s->engine);
}

/* Process a chunk, in which samples that are not finite are set to 0. */
static int feed(harken_stream *s, float *chunk, size_t n, harken_event *events, size_t room) {
    int16_t pcm[HARKEN_RESAMPLE_MOST];
    size_t count = n;
    for (size_t i = 0; i < n; i++) {
        float x = chunk[i];
        if (!(x > -1e9f && x < 1e9f)) chunk[i] = x = 0;
        float magnitude = x < 0 ? -x : x;
        if (magnitude > s->peak) s->peak = magnitude;
        s->squares += (double)x * x;
    }
    s->n_squares += (uint32_t)n;
    if (s->converts)
        count = harken_resample(&s->resampler, chunk, n, pcm);
    else
        for (size_t i = 0; i < n; i++) pcm[i] = harken_to_int16(chunk[i]);
    int n_events = harken_feed(s->engine, pcm, count, events, room);
    if (n_events > 0 && s->model.prior && !s->expecting) {
        harken_forget(s->engine);
        for (size_t i = 0; i < (size_t)n_events && i < room; i++) {
            events[i].faint = HARKEN_NO_WORD;
            events[i].faint_confidence = 0;
            events[i].faint_sample = 0;
        }
    }
    return n_events;
}

/* Process samples in chunks: floats or integers; the other pointer is NULL. */
static int feed_all(harken_stream *s, const float *floats, const int16_t *integers, size_t n,
                    harken_event *events, size_t room) {
    if (!s || (!floats && !integers && n) || (!events && room)) return HARKEN_ERROR_NULL;
    if (n > HARKEN_MAX_SAMPLES) return HARKEN_ERROR_LENGTH;
    int n_events = 0;
    for (size_t from = 0; from < n; from += HARKEN_RESAMPLE_CHUNK) {
        float chunk[HARKEN_RESAMPLE_CHUNK];
        size_t count = n - from < HARKEN_RESAMPLE_CHUNK ? n - from : HARKEN_RESAMPLE_CHUNK;
        if (floats)
            memcpy(chunk, floats + from, sizeof(float) * count);
        else
            for (size_t i = 0; i < count; i++) chunk[i] = (float)integers[from + i] * (1.0f / 32768);
        size_t taken = (size_t)n_events < room ? (size_t)n_events : room;
        n_events += feed(s, chunk, count, room ? events + taken : NULL, room - taken);
    }
    return n_events;
}

int harken_stream_feed(harken_stream *s, const float *samples, size_t n, harken_event *events,
                       size_t room) {
    return feed_all(s, samples, NULL, n, events, room);
}

int harken_stream_feed16(harken_stream *s, const int16_t *samples, size_t n, harken_event *events,
                         size_t room) {
    return feed_all(s, NULL, samples, n, events, room);
}

int harken_stream_threshold(harken_stream *s, unsigned label, uint32_t threshold) {
    if (!s) return HARKEN_ERROR_NULL;
    if (label >= s->model.n_labels || threshold > ONE24) return HARKEN_ERROR_RANGE;
    if (s->original->detector->threshold[label] > ONE24) return HARKEN_ERROR_RANGE;
    s->set[label] = threshold;
    apply(s);
    return HARKEN_OK;
}

int harken_stream_sensitivity(harken_stream *s, uint32_t factor) {
    if (!s) return HARKEN_ERROR_NULL;
    if (factor < 1u << 10 || factor > 1u << 22) return HARKEN_ERROR_RANGE;
    s->sensitivity = factor;
    apply(s);
    return HARKEN_OK;
}

int harken_stream_expecting(harken_stream *s, int expecting) {
    if (!s) return HARKEN_ERROR_NULL;
    s->expecting = expecting != 0;
    if (s->model.prior && !expecting) return harken_forget(s->engine);
    return HARKEN_OK;
}

int harken_stream_level(harken_stream *s, float *peak, float *mean_square) {
    if (!s || !peak || !mean_square) return HARKEN_ERROR_NULL;
    *peak = s->peak;
    *mean_square = s->n_squares ? (float)(s->squares / s->n_squares) : 0;
    s->peak = 0;
    s->squares = 0;
    s->n_squares = 0;
    return HARKEN_OK;
}

harken *harken_stream_engine(harken_stream *s) { return s ? s->engine : NULL; }
