/*
 * Float samples of one rate in, int16 samples of another out.
 *
 * A bank of windowed sinc filters (Kaiser window; Smith, "Digital audio resampling", 2002): flat to
 * 95 % of half the lower rate, 90 dB down from 105 % of it on. For 16 kHz: flat to 7.6 kHz, and what
 * would fold back below that is gone. Each sum is made in one order, so that all machines agree.
 */
#ifndef HARKEN_RESAMPLE_H
#define HARKEN_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

#define HARKEN_RESAMPLE_CHUNK 128 /* samples at most of one call: a quantum of the Web Audio API */
#define HARKEN_RESAMPLE_MOST (2 * HARKEN_RESAMPLE_CHUNK + 1) /* that it may give, at twice the rate */

typedef struct {
    float *bank;    /* [up][taps] */
    float *history; /* [taps + HARKEN_RESAMPLE_CHUNK] */
    uint32_t up, down; /* the ratio of the rates in lowest terms */
    uint32_t taps;     /* a multiple of four */
    uint32_t phase;    /* of the next sample: how far it lies behind an input's, in 1/up */
    uint32_t filled;   /* samples in the history */
    uint32_t skip;     /* samples to come that no output needs */
} harken_resampler;

/* Bytes of memory for a bank and a history; 0 where the rates, more than 0, have hardly a common
 * divisor: then the bank would have no end. */
size_t harken_resample_bytes(uint32_t from_hz, uint32_t to_hz);

/* Design the filters, in memory of that size that is aligned to 4 bytes. */
void harken_resample_init(harken_resampler *r, void *memory, uint32_t from_hz, uint32_t to_hz);

/* Go back to the beginning: the first sample to come lies at 0, as does the first that is given. */
void harken_resample_reset(harken_resampler *r);

/* Take in n samples, HARKEN_RESAMPLE_CHUNK at most, full scale at 1; write those that they complete,
 * and return how many. */
size_t harken_resample(harken_resampler *r, const float *in, size_t n, int16_t *out);

/* A sample to int16: the nearest one, halves to the even one. */
int16_t harken_to_int16(float sample);

#endif
