/*
 * Float samples at one rate in, int16 samples at another out.
 *
 * A bank of windowed sinc filters (Kaiser window; Smith, "Digital audio resampling", 2002): flat to
 * 95 % of half the lower rate, 90 dB down from 105 % of it on. For 16 kHz: flat to 7.6 kHz, and
 * free of aliasing below that. Each sum is taken in a fixed order, so that all machines agree.
 */
#ifndef HARKEN_RESAMPLE_H
#define HARKEN_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

#define HARKEN_RESAMPLE_CHUNK 128 /* most samples per call: a render quantum of Web Audio */
#define HARKEN_RESAMPLE_MOST (2 * HARKEN_RESAMPLE_CHUNK + 1) /* most outputs per call: rate doubled */

typedef struct {
    float *bank;    /* [up][taps] */
    float *history; /* [taps + HARKEN_RESAMPLE_CHUNK] */
    uint32_t up, down; /* the ratio of the rates in lowest terms */
    uint32_t taps;     /* a multiple of four */
    uint32_t phase;    /* of the next output sample: delay after an input sample, in 1/up */
    uint32_t filled;   /* samples in the history */
    uint32_t skip;     /* input samples to skip: no output needs them */
} harken_resampler;

/* Bytes of memory for a bank and a history; 0 if the rates (above 0) have too small a common
 * divisor: the bank would be too large. */
size_t harken_resample_bytes(uint32_t from_hz, uint32_t to_hz);

/* Design the filters, in memory of that size, aligned to 4 bytes. */
void harken_resample_init(harken_resampler *r, void *memory, uint32_t from_hz, uint32_t to_hz);

/* Start over: the next input sample and the next output sample are both at 0. */
void harken_resample_reset(harken_resampler *r);

/* Process n samples, at most HARKEN_RESAMPLE_CHUNK, full scale at 1; write the output samples that
 * they complete, and return their number. */
size_t harken_resample(harken_resampler *r, const float *in, size_t n, int16_t *out);

/* Round a sample to the nearest int16, halves to even. */
int16_t harken_to_int16(float sample);

#endif
