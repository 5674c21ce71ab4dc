/*
 * Exact integer arithmetic, the same on every compiler. Shifts to the right of negative numbers
 * are arithmetic on every compiler that this engine knows; harken.c checks it at compile time.
 */
#ifndef HARKEN_MATH_H
#define HARKEN_MATH_H

#include "harken.h"

static inline int32_t harken_clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : x > high ? high : x;
}

static inline int16_t harken_sat16(int32_t x) { return (int16_t)harken_clamp(x, -32768, 32767); }

/* x / 2^n to the nearest, halves away from zero; n = 0 .. 31. */
static inline int32_t harken_shift_round(int32_t x, int32_t n) {
    int32_t mask = (int32_t)((UINT32_C(1) << n) - 1);
    return (x >> n) + ((x & mask) > (mask >> 1) + (x < 0));
}

/* x * multiplier / 2^31 to the nearest, then * 2^shift to the nearest: two roundings, as in the
 * reference kernels of TensorFlow Lite Micro. |x| < 2^(31 - shift) if shift > 0. */
static inline int32_t harken_rescale(int32_t x, const harken_scale *scale) {
    int32_t shift = scale->shift;
    if (shift > 0) {
        x *= (int32_t)1 << shift;
        shift = 0;
    }
    x = (int32_t)(((int64_t)x * scale->multiplier + (INT64_C(1) << 30)) >> 31);
    return harken_shift_round(x, -shift);
}

/* The same for multiplier = 2^30 without a long product: x / 2^(n + 1), n = 0 .. 30; x < 2^31 - 1. */
static inline int32_t harken_halve_round(int32_t x, int32_t n) {
    return harken_shift_round((x + 1) >> 1, n);
}

/* a * b / 2^15, rounded down; |a * b| < 2^46. Without a long product where the chip has none. */
static inline int32_t harken_mul15(int32_t a, int32_t b) {
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
    /* a = high * 2^15 + low, and |b| <= 2^15, so that either product fits 32 bits. */
    return (a >> 15) * b + (((a & 0x7fff) * b) >> 15);
#else
    return (int32_t)(((int64_t)a * b) >> 15);
#endif
}

static inline int32_t harken_leading_zeros(uint32_t x) { /* 0 .. 31; x > 0 */
#if defined(__GNUC__)
    return __builtin_clz(x);
#else
    int32_t n = 0;
    for (; !(x & UINT32_C(0x80000000)); x <<= 1) n++;
    return n;
#endif
}

#endif
