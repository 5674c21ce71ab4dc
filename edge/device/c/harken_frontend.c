/*
 * MFCC of one frame, in float32 or in integers. Only the small functions at the top and the handling
 * of the bands at the end differ; the transform in between is shared.
 *
 * The 512 real samples are treated as 256 complex ones: an in-place radix-4 transform (decimation in
 * time), then a split into the 257 bins of the real transform (Cooley and Tukey, 1965; Sorensen et
 * al., "Real-valued fast Fourier transform algorithms", 1987). Constant factors (the window's 1/2,
 * full scale, the areas of the triangles) are folded into the tables, since the logarithm turns them
 * into sums.
 *
 * Float: every operation is rounded once, as IEEE 754 requires, so all machines agree. The compiler
 * must not fuse a multiplication with an addition: the pragma below says so; compilers that ignore
 * it need -ffp-contract=off. -ffast-math is not allowed.
 *
 * Integers: samples are shifted up to fill 28 bits; each of the four stages divides its inputs by
 * four, so no complex number grows.
 */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#include "harken_frontend.h"

#include "harken_math.h"

#define POINTS (HARKEN_WINDOW / 2) /* of the complex transform */

#if HARKEN_FIXED_POINT

#include "harken_log2.h"

typedef int32_t number;
typedef int16_t factor; /* Q15 */

static number times(number a, int32_t b) { return harken_mul15(a, b); }
static number quarter(number a) { return a >> 2; }
static number half(number a) { return a >> 1; }

#else

#include <float.h>
#include <string.h>

#if defined(__FAST_MATH__)
#error "harken: -ffast-math changes results; compile without it, or with -DHARKEN_FIXED_POINT=1"
#endif
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "harken: float is computed in another precision (x87?); compile with -msse2 -mfpmath=sse"
#endif

typedef float number;
typedef float factor;

static number times(number a, number b) { return a * b; }
static number quarter(number a) { return a; }
static number half(number a) { return a; }

#endif

typedef struct {
    number re, im;
} point;

/* cos and sin of 2 pi k / 512, k = 0 .. 384, from half a period of the cosine. */
static factor cosine(const factor *table, int32_t k) { return table[k <= 256 ? k : 512 - k]; }
static factor sine(const factor *table, int32_t k) { return table[k < 128 ? 128 - k : k - 128]; }

/* Reverse the base-4 digits of 0 .. 255. */
static int32_t swap_digits(int32_t n) {
    n = ((n & 0x33) << 2) | ((n >> 2) & 0x33);
    return ((n & 0x0f) << 4) | (n >> 4);
}

/* Transform four points, `step` apart, in place. */
static inline void butterfly(point *z, int32_t step, point b, point c, point d) {
    point a = z[0];
    a.re = quarter(a.re), a.im = quarter(a.im);
    b.re = quarter(b.re), b.im = quarter(b.im);
    c.re = quarter(c.re), c.im = quarter(c.im);
    d.re = quarter(d.re), d.im = quarter(d.im);
    point even = {a.re + c.re, a.im + c.im}, differ = {a.re - c.re, a.im - c.im};
    point odd = {b.re + d.re, b.im + d.im}, turned = {b.im - d.im, d.re - b.re}; /* times -i */
    z[0].re = even.re + odd.re, z[0].im = even.im + odd.im;
    z[step].re = differ.re + turned.re, z[step].im = differ.im + turned.im;
    z[2 * step].re = even.re - odd.re, z[2 * step].im = even.im - odd.im;
    z[3 * step].re = differ.re - turned.re, z[3 * step].im = differ.im - turned.im;
}

static inline point turn(point z, factor c, factor s) { /* times c - i s */
    point result = {times(z.re, c) + times(z.im, s), times(z.im, c) - times(z.re, s)};
    return result;
}

/* Transform z [256], in digit-reversed order, in place. */
static void transform(point *z, const factor *table) {
    for (int32_t i = 0; i < POINTS; i += 4) butterfly(z + i, 1, z[i + 1], z[i + 2], z[i + 3]);
    for (int32_t step = 4; step < POINTS; step *= 4) {
        for (int32_t j = 0; j < step; j++) {
            int32_t k = j * (HARKEN_WINDOW / 4 / step);
            factor c1 = cosine(table, k), s1 = sine(table, k);
            factor c2 = cosine(table, 2 * k), s2 = sine(table, 2 * k);
            factor c3 = cosine(table, 3 * k), s3 = sine(table, 3 * k);
            for (point *at = z + j; at < z + POINTS; at += 4 * step)
                butterfly(at, step, turn(at[step], c1, s1), turn(at[2 * step], c2, s2),
                          turn(at[3 * step], c3, s3));
        }
    }
}

/* Turn z, the transform of even samples (real parts) and odd samples (imaginary parts), into bins
 * 1 .. 255 of the real transform; in float, twice that. No band uses bins 0 and 256. */
static void take_apart(point *z, const factor *table) {
    for (int32_t k = 1; k <= POINTS / 2; k++) {
        point *a = z + k, *b = z + POINTS - k;
        point sum = {half(a->re) + half(b->re), half(a->im) - half(b->im)};
        point rest = {half(a->im) + half(b->im), half(b->re) - half(a->re)};
        rest = turn(rest, cosine(table, k), sine(table, k));
        b->re = sum.re - rest.re, b->im = rest.im - sum.im;
        a->re = sum.re + rest.re, a->im = sum.im + rest.im;
    }
}

#if HARKEN_FIXED_POINT

/* Window the samples into z, in digit-reversed order, and shift them up as far as possible, to at
 * most 2^28. Returns the shift in bits, -3 .. 27; sample times window is Q31. */
static int32_t load(point *z, const int16_t *pcm, const factor *table) {
    uint32_t used = 1; /* OR of all magnitudes */
    for (int32_t i = 0; i < POINTS; i++) {
        int32_t k = 2 * i;
        int32_t re = pcm[k] * (32768 - cosine(table, k));
        int32_t im = pcm[k + 1] * (32768 - (k + 1 <= 256 ? table[k + 1] : table[511 - k]));
        point *to = z + swap_digits(i);
        to->re = re, to->im = im;
        used |= (uint32_t)(re ^ (re >> 31)) | (uint32_t)(im ^ (im >> 31));
    }
    int32_t shift = harken_leading_zeros(used) - 4;
    for (int32_t i = 0; i < POINTS; i++) {
        if (shift >= 0) {
            z[i].re *= (int32_t)1 << shift;
            z[i].im *= (int32_t)1 << shift;
        } else {
            z[i].re >>= -shift;
            z[i].im >>= -shift;
        }
    }
    return shift;
}

typedef uint64_t energy;

/* All bins together add up to the mean square of 256 samples below 2^28.5, here at most 2^45. */
static energy power(point z) {
    return (uint64_t)((int64_t)z.re * z.re + (int64_t)z.im * z.im) >> 12;
}

static energy share(energy power, uint16_t rise) { return power * rise; }
static energy whole(energy power) { return power << 15; }

/* log2(x), Q15, error below 2^-14; x > 0. Linear between the 65 points of a table. */
static int32_t logarithm(energy x) {
    int32_t exponent = 0;
    while (x >> 32) x >>= 8, exponent += 8;
    int32_t zeros = harken_leading_zeros((uint32_t)x);
    uint32_t mantissa = (uint32_t)x << zeros; /* 2^31 .. 2^32 - 1 */
    uint32_t index = (mantissa >> 25) & 63, rest = (mantissa >> 9) & 0xffff;
    uint32_t low = harken_log2_table[index], high = harken_log2_table[index + 1];
    int32_t fraction = (int32_t)(low + (((high - low) * rest) >> 16));
    return (exponent + 31 - zeros) * 32768 + fraction;
}

/* Logarithm of a band, Q15, at least the floor. */
static int32_t level(energy band, int32_t shift, int32_t floor) {
    int32_t log = band ? logarithm(band) - 2 * shift * 32768 : floor;
    return log > floor ? log : floor;
}

#else

static int32_t load(point *z, const int16_t *pcm, const factor *table) {
    for (int32_t i = 0; i < POINTS; i++) {
        int32_t k = 2 * i;
        point *to = z + swap_digits(i);
        to->re = (float)pcm[k] * (1.0f - cosine(table, k));
        to->im = (float)pcm[k + 1] * (1.0f - (k + 1 <= 256 ? table[k + 1] : table[511 - k]));
    }
    return 0;
}

typedef float energy;

static energy power(point z) { return z.re * z.re + z.im * z.im; }
static energy share(energy power, float rise) { return power * rise; }
static energy whole(energy power) { return power; }

/* log2(x), relative error 1e-7; x > 0, normal. With x = 2^e m, m in sqrt(1/2) .. sqrt(2), it is
 * e + 2 / ln 2 * atanh((m - 1) / (m + 1)); five terms of the series are summed. */
static float logarithm(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits -= UINT32_C(0x3f3504f3); /* sqrt(1/2) */
    int32_t exponent = (int32_t)bits >> 23;
    bits = (bits & UINT32_C(0x007fffff)) + UINT32_C(0x3f3504f3);
    float m;
    memcpy(&m, &bits, 4);
    float s = (m - 1.0f) / (m + 1.0f), t = s * s;
    float sum = 0.32059889f; /* 2 / ln 2 / 9, / 7, ... */
    sum = sum * t + 0.41219858f;
    sum = sum * t + 0.57707802f;
    sum = sum * t + 0.96179669f;
    sum = sum * t + 2.88539008f;
    return (float)exponent + s * sum;
}

static float level(energy band, int32_t shift, float floor) {
    (void)shift;
    return logarithm(band > floor ? band : floor);
}

#endif

/* Spectrum z to the logarithms of the bands [n_mels]. A bin's power is split between the rising
 * band and the falling one before it, so one multiplication serves both. */
static void bands(const harken_frontend *frontend, const point *z, int32_t shift, number *levels) {
    const point *bin = z + frontend->first_bin;
    int32_t weight = 0;
    energy rising = 0;
    for (int32_t edge = 0; edge <= frontend->n_mels; edge++) {
        energy band = rising;
        rising = 0;
        for (int32_t i = 0; i < frontend->bins[edge]; i++, bin++, weight++) {
            energy all = power(*bin), part = share(all, frontend->rise[weight]);
            rising += part;
            band += whole(all) - part;
        }
        if (edge) levels[edge - 1] = level(band, shift, frontend->floor[edge - 1]);
    }
}

/* Cosine transform, standardization and quantization of the bands, all in one matrix. Its rows are
 * alternately even and odd, so sums and differences of mirrored bands are enough. */
static void cepstrum(const harken_frontend *frontend, number *levels, int8_t *features) {
    int32_t n_mels = frontend->n_mels, columns = (n_mels + 1) / 2;
    for (int32_t i = 0, j = n_mels - 1; i < j; i++, j--) {
        number low = levels[i], high = levels[j];
        levels[i] = low + high;
        levels[j] = low - high;
    }
    for (int32_t row = 0; row < frontend->n_mfcc; row++) {
        const factor *weights = frontend->dct + row * columns;
        const number *level = row % 2 ? levels + n_mels - 1 : levels;
        int32_t step = row % 2 ? -1 : 1;
        number sum = frontend->offset[row];
        for (int32_t i = 0; i < columns; i++, level += step)
#if HARKEN_FIXED_POINT
            sum += times(*level * 16, weights[i]); /* Q19 */
        int32_t bits = 19 - frontend->row_shift[row];
        int32_t value = (sum + ((int32_t)1 << (bits - 1))) >> bits;
#else
            sum += *level * weights[i];
        /* Round to the nearest integer, halves to even: it ends up in the low bits. */
        sum = sum < -1024.0f ? -1024.0f : sum > 1024.0f ? 1024.0f : sum;
        float shifted = sum + 12582912.0f; /* 1.5 * 2^23 */
        int32_t value;
        memcpy(&value, &shifted, 4);
        value -= INT32_C(0x4b400000);
#endif
        features[row] = (int8_t)harken_clamp(value + frontend->zero_point, -128, 127);
    }
}

size_t harken_frontend_scratch(const harken_frontend *frontend) {
    return sizeof(point) * POINTS + (sizeof(number) * frontend->n_mels + 7) / 8 * 8;
}

void harken_frame(const harken_frontend *frontend, const int16_t *pcm, void *scratch,
                  int8_t *features) {
    point *z = (point *)scratch;
    number *levels = (number *)(z + POINTS);
    int32_t shift = load(z, pcm, frontend->cosine);
    transform(z, frontend->cosine);
    take_apart(z, frontend->cosine);
    bands(frontend, z, shift, levels);
    cepstrum(frontend, levels, features);
}
