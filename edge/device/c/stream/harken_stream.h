/*
 * Audio at any rate in, words out: for phones and browsers, whose microphones have their own sample
 * rates and whose users adjust the thresholds.
 *
 *     size_t size = harken_stream_bytes(&harken_commands, 48000);
 *     harken_stream *s;
 *     harken_stream_init(&s, malloc(size), size, &harken_commands, 48000);
 *     harken_event event;
 *     if (harken_stream_feed(s, samples, 480, &event, 1) > 0)
 *         puts(harken_commands.labels[event.label]);
 *
 * As in harken.h: no malloc, no stdio, no mutable globals; errors are below 0; positions of events
 * are samples at the model's rate.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef HARKEN_STREAM_H
#define HARKEN_STREAM_H

#include "harken.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HARKEN_STREAM_MIN_RATE 8000u /* Hz */
#define HARKEN_STREAM_MAX_RATE 192000u

typedef struct harken_stream harken_stream; /* lives in the memory given to harken_stream_init */

/* Bytes of memory for a model and a rate; 0 for a rate that cannot be converted: one outside the
 * bounds above, or one whose common divisor with the model's rate is too small. */
size_t harken_stream_bytes(const harken_model *model, uint32_t rate_hz);

/* Start listening. `memory`, aligned to 8 bytes, belongs to the stream while the stream is in use.
 * Returns HARKEN_OK, or an error, in which case `*out` is NULL: HARKEN_ERROR_RANGE for the rate. */
int harken_stream_init(harken_stream **out, void *memory, size_t size, const harken_model *model,
                       uint32_t rate_hz);

/* Start over: the next sample is sample 0. Thresholds keep their settings. */
int harken_stream_reset(harken_stream *s);

/* Process `n` samples, mono, float32 with full scale at ±1, or int16, and report the words that
 * they complete, as harken_feed() does. Samples that are not finite count as 0. */
int harken_stream_feed(harken_stream *s, const float *samples, size_t n, harken_event *events,
                       size_t room);
int harken_stream_feed16(harken_stream *s, const int16_t *samples, size_t n, harken_event *events,
                         size_t room);

/* Set the threshold of a word: evidence, Q24, 1 .. 2^24; 0: the model's. Returns HARKEN_ERROR_RANGE
 * for a label that is not a word of the model, or a number above 2^24. */
int harken_stream_threshold(harken_stream *s, unsigned label, uint32_t threshold);

/* Divide the odds that every word needs by a factor, Q16, 2^10 .. 2^22; 2^16 leaves the thresholds
 * unchanged. */
int harken_stream_sensitivity(harken_stream *s, uint32_t factor);

/* Whether the context (what was said before) affects detection, if the model has a prior;
 * 1 initially. If it does not, there are no faint words. */
int harken_stream_expecting(harken_stream *s, int expecting);

/* Peak magnitude and mean square of the samples since the last call; full scale is 1. */
int harken_stream_level(harken_stream *s, float *peak, float *mean_square);

/* The engine inside, for harken_posteriors(), harken_pending() and the like. */
harken *harken_stream_engine(harken_stream *s);

#ifdef __cplusplus
}
#endif
#endif /* HARKEN_STREAM_H */
