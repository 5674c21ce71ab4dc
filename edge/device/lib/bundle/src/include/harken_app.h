/*
 * The engine with the model @NAME@, for languages that cannot place memory or read structures:
 * numbers, strings and a pointer are all that goes in and out.
 *
 *     harken_stream *s;
 *     if (harken_open(&s, 48000) != HARKEN_OK) ...
 *     harken_event event;
 *     if (harken_stream_feed(s, samples, 480, &event, 1) > 0)
 *         puts(harken_label(event.label));
 *     harken_close(s);
 *
 * What is opened here is a stream as harken_stream.h has it, and all of its functions are for it.
 * Several may be open at once. One of them is for one thread at a time; nothing is shared between
 * two. Strings belong to the library, are UTF-8, and stay as they are.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef HARKEN_APP_H
#define HARKEN_APP_H

#include "harken_stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of what harken_app.h and harken_stream.h declare, and of harken_event; raised when a function or
 * a field changes its meaning or goes, not when one is added. */
#define HARKEN_ABI 1

#define HARKEN_ERROR_MEMORY (-100) /* there is no memory left */

/* HARKEN_ABI of the library, which may be another than that of this header. */
int harken_abi(void);

/* Begin to listen to sound of a rate, HARKEN_STREAM_MIN_RATE .. HARKEN_STREAM_MAX_RATE, in memory
 * of its own. Returns HARKEN_OK, or an error, and then `*out` is NULL: HARKEN_ERROR_RANGE for the
 * rate, HARKEN_ERROR_MEMORY. */
int harken_open(harken_stream **out, uint32_t rate_hz);

/* Give the memory back. NULL is allowed. */
void harken_close(harken_stream *s);

/* The model's name, and its rate: of the positions in an event, and that which costs least. */
const char *harken_model_name(void);
uint32_t harken_model_rate(void);

/* How many labels there are, and the name of each; NULL for one that there is not. */
unsigned harken_labels(void);
const char *harken_label(unsigned label);

/* The threshold that the model has for a label, Q24; 0 for a label that is no word. */
uint32_t harken_model_threshold(unsigned label);

/* Names of what an application may wait for, for harken_pending(): 0 is nothing, "". NULL after
 * the last, and always for a model that does not know what was said before. */
const char *harken_pending_name(unsigned pending);

/* Features of a frame, as harken_features() has them. */
unsigned harken_n_features(void);

/* A sentence for what a function returned. */
const char *harken_error(int status);

/* Run the self-test of harken.h, some 0.1 s long. Returns HARKEN_OK, HARKEN_ERROR_MISMATCH where
 * the compiler did not keep to the standard, or HARKEN_ERROR_MEMORY. */
int harken_check(void);

#ifdef __cplusplus
}
#endif
#endif /* HARKEN_APP_H */
