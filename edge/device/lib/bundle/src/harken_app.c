#include "harken_app.h"

#include <stdlib.h>

#include "model_data.h"
#include "model_name.h"

#define ONE24 (UINT32_C(1) << 24)

int harken_abi(void) { return HARKEN_ABI; }

int harken_open(harken_stream **out, uint32_t rate_hz) {
    if (!out) return HARKEN_ERROR_NULL;
    *out = NULL;
    size_t size = harken_stream_bytes(&HARKEN_MODEL, rate_hz);
    if (!size) return HARKEN_ERROR_RANGE;
    void *memory = malloc(size);
    if (!memory) return HARKEN_ERROR_MEMORY;
    int status = harken_stream_init(out, memory, size, &HARKEN_MODEL, rate_hz);
    if (status != HARKEN_OK) free(memory);
    return status;
}

void harken_close(harken_stream *s) { free(s); /* it is at the start of its memory */ }

const char *harken_model_name(void) { return HARKEN_MODEL.name; }

uint32_t harken_model_rate(void) { return HARKEN_MODEL.sample_rate_hz; }

unsigned harken_labels(void) { return HARKEN_MODEL.n_labels; }

const char *harken_label(unsigned label) {
    return label < HARKEN_MODEL.n_labels ? HARKEN_MODEL.labels[label] : NULL;
}

uint32_t harken_model_threshold(unsigned label) {
    if (label >= HARKEN_MODEL.n_labels) return 0;
    uint32_t threshold = HARKEN_MODEL.detector->threshold[label];
    return threshold <= ONE24 ? threshold : 0;
}

const char *harken_pending_name(unsigned pending) {
    static const char *const names[] = {HARKEN_MODEL_PENDING NULL};
    return pending < sizeof names / sizeof *names ? names[pending] : NULL;
}

unsigned harken_n_features(void) { return HARKEN_MODEL.frontend->n_mfcc; }

const char *harken_error(int status) {
    if (status >= 0) return "no error";
    switch (status) {
        case HARKEN_ERROR_NULL: return "a pointer is NULL";
        case HARKEN_ERROR_ALIGNMENT: return "the memory is not aligned to 8 bytes";
        case HARKEN_ERROR_SIZE: return "the memory is too small";
        case HARKEN_ERROR_VERSION: return "the model is for another version of the engine";
        case HARKEN_ERROR_LENGTH: return "more than 2^24 samples in one call; feed them in chunks";
        case HARKEN_ERROR_MISMATCH: return "the self-test's results differ from those at export";
        case HARKEN_ERROR_RANGE: return "a rate, label, threshold or state is out of range";
        case HARKEN_ERROR_MEMORY: return "out of memory";
        default: return "unknown error";
    }
}

int harken_check(void) {
    void *memory = malloc(HARKEN_MODEL_BYTES);
    if (!memory) return HARKEN_ERROR_MEMORY;
    int status =
        harken_selftest(memory, HARKEN_MODEL_BYTES, &HARKEN_MODEL, &HARKEN_MODEL_GOLDEN, NULL);
    free(memory);
    return status;
}
