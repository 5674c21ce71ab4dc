/*
 * Exact integer arithmetic, the same on every compiler. Right shifts of negative numbers are
 * arithmetic on every supported compiler; harken.c checks this at compile time.
 */
#ifndef HARKEN_MATH_H
#define HARKEN_MATH_H

#include "harken.h"

/* Optimized for size: functions that run once per call, or only in a quiet room. */
#ifdef __GNUC__
#define HARKEN_SMALL __attribute__((cold, noinline))
#else
#define HARKEN_SMALL
#endif

static inline int32_t harken_clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : x > high ? high : x;
}

static inline int16_t harken_sat16(int32_t x) { return (int16_t)harken_clamp(x, -32768, 32767); }

/* x / 2^n, rounded to nearest, halves away from zero; n = 1 .. 31, |x| <= 2^30. */
static inline int32_t harken_shift_round(int32_t x, int32_t n) {
    return (x + (int32_t)(UINT32_C(1) << (n - 1)) - (int32_t)((uint32_t)x >> 31)) >> n;
}

/* a * b / 2^32, rounded to nearest, halves up; b is positive. */
static inline int32_t harken_mul32(int32_t a, int32_t b) {
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
    /* By halves, inline: calling the compiler's 64-bit multiplication takes twice as long. */
    uint32_t low = (uint32_t)a & 0xffff, b_low = (uint32_t)b & 0xffff;
    int32_t high = a >> 16, b_high = b >> 16;
    uint32_t middle = low * (uint32_t)b_high + ((low * b_low) >> 16);
    int32_t rest = high * (int32_t)b_low + (int32_t)(middle & 0xffff);
    return high * b_high + (int32_t)(middle >> 16) + (((rest >> 15) + 1) >> 1);
#elif defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__)
    int32_t product;
    __asm__("smmulr %0, %1, %2" : "=r"(product) : "r"(a), "r"(b));
    return product;
#else
    return (int32_t)(((int64_t)a * b + INT64_C(0x80000000)) >> 32);
#endif
}

/* x * multiplier / 2^31, rounded, then / 2^right, rounded: two roundings, as in the reference
 * kernels of TensorFlow Lite Micro. |x * 2^left| < 2^31; `left` includes one extra bit, because the
 * upper half of a 64-bit product is cheaper than any other 32 of its bits. */
static inline int32_t harken_rescale(int32_t x, const harken_scale *scale) {
    x = harken_mul32(x * ((int32_t)1 << scale->left), scale->multiplier);
    return scale->right ? harken_shift_round(x, scale->right) : x;
}

/* The same for a factor of 2^-(n + 1), without a multiplication; n = 1 .. 30, |x| <= 2^30. */
static inline int32_t harken_halve_round(int32_t x, int32_t n) {
    return harken_shift_round((x + 1) >> 1, n);
}

/* a * b / 2^15, rounded down; |a * b| < 2^46. Avoids a long multiplication on chips that lack
 * one. */
static inline int32_t harken_mul15(int32_t a, int32_t b) {
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
    /* a = high * 2^15 + low, and |b| <= 2^15, so both products fit 32 bits. */
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
