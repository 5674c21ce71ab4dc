#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#include "harken_resample.h"

#include <string.h>

#define STOP_DB 90.0
#define TRANSITION 0.1 /* width, relative to half the lower rate */
#define MOST_PHASES 2000u

#define PI 3.14159265358979323846

static uint32_t common_divisor(uint32_t a, uint32_t b) {
    while (b) {
        uint32_t rest = a % b;
        a = b, b = rest;
    }
    return a;
}

/* The cutoff in cycles per input sample. */
static double cutoff(uint32_t up, uint32_t down) { return up < down ? 0.5 * up / down : 0.5; }

/* Kaiser's estimate of the filter length, (A - 7.95) / (14.36 width), as a multiple of four. */
static uint32_t length(uint32_t up, uint32_t down) {
    double taps = (STOP_DB - 7.95) / (14.36 * TRANSITION * cutoff(up, down));
    return ((uint32_t)taps + 4) / 4 * 4;
}

static double sine_of_pi(double x) { /* sin(pi x) to 1e-13: Taylor series */
    double whole = (double)(int32_t)(x < 0 ? x - 0.5 : x + 0.5);
    double t = (x - whole) * PI, square = t * t, term = t, sum = t;
    for (int32_t n = 2; n < 22; n += 2) {
        term *= -square / (n * (n + 1));
        sum += term;
    }
    return (int32_t)whole % 2 ? -sum : sum;
}

static double bessel(double quarter_square) { /* I0(x), given x * x / 4: power series */
    double term = 1, sum = 1;
    for (int32_t n = 1; n < 40; n++) {
        term *= quarter_square / ((double)n * n);
        sum += term;
    }
    return sum;
}

size_t harken_resample_bytes(uint32_t from_hz, uint32_t to_hz) {
    uint32_t divisor = common_divisor(from_hz, to_hz);
    uint32_t up = to_hz / divisor, down = from_hz / divisor;
    if (up > MOST_PHASES || down > MOST_PHASES) return 0;
    size_t taps = length(up, down);
    return sizeof(float) * (up * taps + taps + HARKEN_RESAMPLE_CHUNK);
}

void harken_resample_init(harken_resampler *r, void *memory, uint32_t from_hz, uint32_t to_hz) {
    uint32_t divisor = common_divisor(from_hz, to_hz);
    r->up = to_hz / divisor;
    r->down = from_hz / divisor;
    r->taps = length(r->up, r->down);
    r->bank = (float *)memory;
    r->history = r->bank + (size_t)r->up * r->taps;

    double twice = 2 * cutoff(r->up, r->down), half = r->taps / 2.0;
    double beta = 0.1102 * (STOP_DB - 8.7), quarter = beta * beta / 4;
    for (uint32_t phase = 0; phase < r->up; phase++) {
        float *taps = r->bank + (size_t)phase * r->taps;
        double sum = 0;
        for (int32_t pass = 0; pass < 2; pass++) { /* first the sum, then the taps divided by it */
            for (uint32_t i = 0; i < r->taps; i++) {
                double t = (double)i - (half - 1) - (double)phase / r->up, edge = t / half;
                double window = edge * edge < 1 ? bessel(quarter * (1 - edge * edge)) : 0;
                double x = twice * t;
                double tap = window * (x * x > 1e-18 ? sine_of_pi(x) / (PI * x) : 1);
                if (pass)
                    taps[i] = (float)(tap / sum);
                else
                    sum += tap;
            }
        }
    }
    harken_resample_reset(r);
}

void harken_resample_reset(harken_resampler *r) {
    r->phase = 0;
    r->skip = 0;
    r->filled = r->taps / 2 - 1; /* centers the filter on the first sample */
    memset(r->history, 0, sizeof(float) * r->filled);
}

int16_t harken_to_int16(float sample) {
    float scaled = sample * 32768.0f;
    scaled = scaled < -32768.0f ? -32768.0f : scaled > 32767.0f ? 32767.0f : scaled;
    float shifted = scaled + 12582912.0f; /* 1.5 * 2^23: the integer is in the low bits */
    int32_t bits;
    memcpy(&bits, &shifted, 4);
    return (int16_t)(bits - INT32_C(0x4b400000));
}

static float filter(const float *x, const float *taps, uint32_t n) {
    float a = 0, b = 0, c = 0, d = 0;
    for (uint32_t i = 0; i < n; i += 4) {
        a += x[i] * taps[i];
        b += x[i + 1] * taps[i + 1];
        c += x[i + 2] * taps[i + 2];
        d += x[i + 3] * taps[i + 3];
    }
    return (a + b) + (c + d);
}

size_t harken_resample(harken_resampler *r, const float *in, size_t n, int16_t *out) {
    uint32_t skipped = r->skip < n ? r->skip : (uint32_t)n;
    r->skip -= skipped;
    memcpy(r->history + r->filled, in + skipped, sizeof(float) * (n - skipped));
    r->filled += (uint32_t)n - skipped;

    size_t count = 0;
    uint32_t at = 0; /* first input sample of the next output */
    while (at + r->taps <= r->filled) {
        float sum = filter(r->history + at, r->bank + (size_t)r->phase * r->taps, r->taps);
        out[count++] = harken_to_int16(sum);
        r->phase += r->down;
        at += r->phase / r->up;
        r->phase %= r->up;
    }
    if (at > r->filled) {
        r->skip = at - r->filled;
        at = r->filled;
    }
    r->filled -= at;
    memmove(r->history, r->history + at, sizeof(float) * r->filled);
    return count;
}
