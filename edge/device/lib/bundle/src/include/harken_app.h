/*
 * The engine with the model @NAME@, for languages that cannot allocate memory for C or read its
 * structures: only numbers, strings and a pointer go in and out.
 *
 *     harken_stream *s;
 *     if (harken_open(&s, 48000) != HARKEN_OK) ...
 *     harken_event event;
 *     if (harken_stream_feed(s, samples, 480, &event, 1) > 0)
 *         puts(harken_label(event.label));
 *     harken_close(s);
 *
 * harken_open() returns a stream of harken_stream.h, for use with all functions there. Several may
 * be open at once. Use each from one thread at a time; streams share nothing. Strings belong to the
 * library, are UTF-8, and never change.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef HARKEN_APP_H
#define HARKEN_APP_H

#include "harken_stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Version of the declarations in harken_app.h and harken_stream.h and of harken_event; raised when a
 * function or field changes its meaning or its place or is removed, not when a function is added. */
#define HARKEN_ABI 2

#define HARKEN_ERROR_MEMORY (-100) /* out of memory */

/* HARKEN_ABI of the library, which may differ from that of this header. */
int harken_abi(void);

/* Start listening at a sample rate, HARKEN_STREAM_MIN_RATE .. HARKEN_STREAM_MAX_RATE. Allocates its
 * own memory. Returns HARKEN_OK, or an error, in which case `*out` is NULL: HARKEN_ERROR_RANGE for
 * the rate, HARKEN_ERROR_MEMORY. */
int harken_open(harken_stream **out, uint32_t rate_hz);

/* Free the memory. NULL is allowed. */
void harken_close(harken_stream *s);

/* The model's name, and its sample rate: positions in an event count at this rate, and audio at
 * this rate costs least. */
const char *harken_model_name(void);
uint32_t harken_model_rate(void);

/* The number of labels, and the name of each; NULL for one that does not exist. */
unsigned harken_labels(void);
const char *harken_label(unsigned label);

/* The model's threshold for a label, Q24; 0 for a label that is not a word. */
uint32_t harken_model_threshold(unsigned label);

/* Names of the states that harken_pending() accepts; 0 is "", for nothing. NULL after the last one,
 * and always for a model without a prior. */
const char *harken_pending_name(unsigned pending);

/* The number of features in a frame; see harken_features(). */
unsigned harken_n_features(void);

/* A sentence that explains what a function returned. */
const char *harken_error(int status);

/* Run the self-test of harken.h, which takes about 0.1 s. Returns HARKEN_OK, HARKEN_ERROR_MISMATCH
 * if the compiler does not follow the standard, or HARKEN_ERROR_MEMORY. */
int harken_check(void);

#ifdef __cplusplus
}
#endif
#endif /* HARKEN_APP_H */
