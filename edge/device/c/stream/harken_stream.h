/*
 * Sound of any rate in, words out: for phones and browsers, whose microphones have rates of their
 * own and whose users move the thresholds.
 *
 *     size_t size = harken_stream_bytes(&harken_commands, 48000);
 *     harken_stream *s;
 *     harken_stream_init(&s, malloc(size), size, &harken_commands, 48000);
 *     harken_event event;
 *     if (harken_stream_feed(s, samples, 480, &event, 1) > 0)
 *         puts(harken_commands.labels[event.label]);
 *
 * As in harken.h: no malloc, no stdio, no globals that change; errors are numbers below 0; positions
 * of events are samples at the rate of the model.
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

/* Bytes of memory for a model and a rate; 0 for a rate that cannot be converted: one outside of the
 * bounds above, or one with which the model's has hardly a common divisor. */
size_t harken_stream_bytes(const harken_model *model, uint32_t rate_hz);

/* Begin to listen. `memory`, aligned to 8 bytes, belongs to the stream until it is used no more.
 * Returns HARKEN_OK, or an error, and then `*out` is NULL: HARKEN_ERROR_RANGE for the rate. */
int harken_stream_init(harken_stream **out, void *memory, size_t size, const harken_model *model,
                       uint32_t rate_hz);

/* Forget everything heard: the next sample is sample 0. Thresholds stay as they were set. */
int harken_stream_reset(harken_stream *s);

/* Take in `n` samples, mono, float32 with full scale at ±1, or int16, and give out the words that
 * they complete, as harken_feed() does. What is not finite counts as 0. */
int harken_stream_feed(harken_stream *s, const float *samples, size_t n, harken_event *events,
                       size_t room);
int harken_stream_feed16(harken_stream *s, const int16_t *samples, size_t n, harken_event *events,
                         size_t room);

/* The evidence, Q24, 1 .. 2^24, from which a word is heard; 0: as the model has it. Returns
 * HARKEN_ERROR_RANGE for a label that is no word of the model, or a number above 2^24. */
int harken_stream_threshold(harken_stream *s, unsigned label, uint32_t threshold);

/* The odds that every word needs are divided by this, Q16: 2^16 as the thresholds have it,
 * 2^10 .. 2^22. */
int harken_stream_sensitivity(harken_stream *s, uint32_t factor);

/* Whether what was said before changes what is heard, where the model has a prior: 1 at first. */
int harken_stream_expecting(harken_stream *s, int expecting);

/* Greatest magnitude and mean square of the samples since the last call; full scale is 1. */
int harken_stream_level(harken_stream *s, float *peak, float *mean_square);

/* The engine within: for harken_posteriors(), harken_pending() and the like. */
harken *harken_stream_engine(harken_stream *s);

#ifdef __cplusplus
}
#endif
#endif /* HARKEN_STREAM_H */
