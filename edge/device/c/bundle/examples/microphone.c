/*
 * Words from a microphone: a typical program on a board. You provide microphone_read(), which blocks
 * until there are samples, mono, at HARKEN_@UPPER@_SAMPLE_RATE, and the functions that handle a word
 * or an error.
 */
#include "model_data.h"
#include "model_name.h"

extern int microphone_read(int16_t *pcm, int n); /* returns how many were read; < 0 to stop */
extern void heard(const char *word, int percent);
extern void failed(const char *what, int code);

static uint64_t memory[HARKEN_MODEL_BYTES / 8]; /* all the memory the engine needs */

int listen(void);
int listen(void) {
    /* Once at boot: check that results equal those at export. Omit it to save its flash. */
    int status = harken_selftest(memory, sizeof memory, &HARKEN_MODEL, &HARKEN_MODEL_GOLDEN, 0);
    if (status != HARKEN_OK) {
        failed("self-test", status);
        return status;
    }
    harken *h;
    status = harken_init(&h, memory, sizeof memory, &HARKEN_MODEL);
    if (status != HARKEN_OK) {
        failed("harken_init", status);
        return status;
    }
    for (;;) {
        int16_t pcm[160]; /* 10 ms; any size works */
        int n = microphone_read(pcm, 160);
        harken_event event;
        if (n < 0) return HARKEN_OK;
        if (harken_feed(h, pcm, (size_t)n, &event, 1) > 0)
            heard(HARKEN_MODEL.labels[event.label], (int)(event.confidence * 100ull >> 24));
    }
}
