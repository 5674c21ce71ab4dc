/*
 * The network. A layer's inputs are first widened to int16, once for all rows; then rows are
 * multiplied four at a time, so that each input is loaded once for four rows.
 *
 * Source of the arithmetic: tensorflow/lite/kernels/internal (reference fully_connected, add,
 * logistic, tanh) and TensorFlow Lite Micro's svdf and unidirectional_sequence_lstm; results are
 * bit-exact.
 */
#include "harken_network.h"

#include <string.h>

#include "harken_math.h"
#include "harken_sigmoid.h"

#if defined(__ARM_FEATURE_SIMD32)
#include <arm_acle.h>
#elif defined(__GNUC__) && (defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__))
#define HARKEN_THUMB1
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define UP4(n) (((size_t)(n) + 3) & ~(size_t)3)
#define UP8(n) (((size_t)(n) + 7) & ~(size_t)7)

#if defined(__ARM_FEATURE_SIMD32)
static uint32_t load(const void *four_bytes) {
    uint32_t word;
    memcpy(&word, four_bytes, 4); /* one instruction */
    return word;
}

static void store(void *four_bytes, int16x2_t word) { memcpy(four_bytes, &word, 4); }

/* Bytes 0 and 2, 1 and 3 of a word, sign-extended: one instruction each; gcc would emit two. */
static int16x2_t even_bytes(uint32_t word) { return __sxtb16(word); }

static int16x2_t odd_bytes(uint32_t word) {
#if defined(__GNUC__)
    int16x2_t bytes;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(bytes) : "r"(word));
    return bytes;
#else
    return __sxtb16(word >> 8 | word << 24);
#endif
}
#endif

/* Widen int8 values [n] to int16 [n rounded up to 4] for multiply4(). Returns the end of `to`. */
static int16_t *spread(const int8_t *from, int32_t n, int16_t *to) {
    int32_t i = 0;
#if defined(__ARM_FEATURE_SIMD32) /* the second and third of each four are swapped */
    for (; i + 4 <= n; i += 4, to += 4) {
        uint32_t word = load(from + i);
        store(to, even_bytes(word));
        store(to + 2, odd_bytes(word));
    }
#endif
    for (; i < n; i += 4, to += 4) {
        int16_t a = from[i], b = i + 1 < n ? from[i + 1] : 0, c = i + 2 < n ? from[i + 2] : 0,
                d = i + 3 < n ? from[i + 3] : 0;
        to[0] = a;
#if defined(__ARM_FEATURE_SIMD32)
        to[1] = c;
        to[2] = b;
#else
        to[1] = b;
        to[2] = c;
#endif
        to[3] = d;
    }
    return to;
}

/* Add the products of four rows, [blocks][4 rows][4 columns] int8, and x [blocks][4], as spread()
 * wrote it, to sums [4] int32. Returns the end of the rows. |sum| < 2^31 for up to 2^16 columns. */
static const int8_t *multiply4(const int8_t *w, const int16_t *x, int32_t blocks, int32_t *sums) {
#if defined(__ARM_FEATURE_SIMD32)
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    for (; blocks > 0; blocks--, w += 16, x += 4) {
        int16x2_t even = (int16x2_t)load(x), odd = (int16x2_t)load(x + 2);
        uint32_t word = load(w);
        a = __smlad(even_bytes(word), even, __smlad(odd_bytes(word), odd, a));
        word = load(w + 4);
        b = __smlad(even_bytes(word), even, __smlad(odd_bytes(word), odd, b));
        word = load(w + 8);
        c = __smlad(even_bytes(word), even, __smlad(odd_bytes(word), odd, c));
        word = load(w + 12);
        d = __smlad(even_bytes(word), even, __smlad(odd_bytes(word), odd, d));
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
    return w;
#elif defined(__SSE2__)
    __m128i ab = _mm_setzero_si128(), cd = ab, zero = ab;
    for (; blocks > 0; blocks--, w += 16, x += 4) {
        __m128i rows = _mm_loadu_si128((const __m128i *)(const void *)w);
        __m128i sign = _mm_cmpgt_epi8(zero, rows);
        __m128i once = _mm_loadl_epi64((const __m128i *)(const void *)x);
        __m128i twice = _mm_unpacklo_epi64(once, once);
        ab = _mm_add_epi32(ab, _mm_madd_epi16(_mm_unpacklo_epi8(rows, sign), twice));
        cd = _mm_add_epi32(cd, _mm_madd_epi16(_mm_unpackhi_epi8(rows, sign), twice));
    }
    /* Each row's sum is split over two adjacent lanes. */
    __m128i even = _mm_castps_si128(
        _mm_shuffle_ps(_mm_castsi128_ps(ab), _mm_castsi128_ps(cd), _MM_SHUFFLE(2, 0, 2, 0)));
    __m128i odd = _mm_castps_si128(
        _mm_shuffle_ps(_mm_castsi128_ps(ab), _mm_castsi128_ps(cd), _MM_SHUFFLE(3, 1, 3, 1)));
    __m128i *to = (__m128i *)(void *)sums;
    _mm_storeu_si128(to, _mm_add_epi32(_mm_loadu_si128(to), _mm_add_epi32(even, odd)));
    return w;
#elif defined(__ARM_NEON)
    int32x4_t a = vdupq_n_s32(0), b = a, c = a, d = a;
    for (; blocks > 0; blocks--, w += 16, x += 4) {
        int8x16_t rows = vld1q_s8(w);
        int16x4_t inputs = vld1_s16(x);
        int16x8_t ab = vmovl_s8(vget_low_s8(rows)), cd = vmovl_s8(vget_high_s8(rows));
        a = vmlal_s16(a, vget_low_s16(ab), inputs);
        b = vmlal_s16(b, vget_high_s16(ab), inputs);
        c = vmlal_s16(c, vget_low_s16(cd), inputs);
        d = vmlal_s16(d, vget_high_s16(cd), inputs);
    }
    int32x4_t lanes[4] = {a, b, c, d};
    for (int32_t row = 0; row < 4; row++) {
        int32x2_t half = vadd_s32(vget_low_s32(lanes[row]), vget_high_s32(lanes[row]));
        sums[row] += vget_lane_s32(half, 0) + vget_lane_s32(half, 1);
    }
    return w;
#elif defined(HARKEN_THUMB1)
    /* There are eight low registers, so one row at a time, over blocks 16 bytes apart. Signed loads
     * have no constant offset, so whole words are loaded and split. */
    for (int32_t row = 0; row < 4; row++) {
        const int8_t *v = w + 4 * row;
        const int16_t *y = x, *end = x + 4 * blocks;
        int32_t sum = sums[row];
        for (; y != end; y += 4, v += 16) {
            int32_t four, low, high;
            memcpy(&four, __builtin_assume_aligned(v, 4), 4);
            memcpy(&low, __builtin_assume_aligned(y, 4), 4);
            memcpy(&high, __builtin_assume_aligned(y + 2, 4), 4);
            sum += (int8_t)four * (int16_t)low;
            sum += (int8_t)(four >> 8) * (low >> 16);
            sum += (int8_t)(four >> 16) * (int16_t)high;
            sum += (four >> 24) * (high >> 16);
        }
        sums[row] = sum;
    }
    return w + 16 * blocks;
#else
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    for (; blocks > 0; blocks--, w += 16, x += 4) {
        int32_t p = x[0], q = x[1], r = x[2], s = x[3];
        a += w[0] * p + w[1] * q + w[2] * r + w[3] * s;
        b += w[4] * p + w[5] * q + w[6] * r + w[7] * s;
        c += w[8] * p + w[9] * q + w[10] * r + w[11] * s;
        d += w[12] * p + w[13] * q + w[14] * r + w[15] * s;
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
    return w;
#endif
}

/* The sigmoid at u / 2^bits table steps, u >= 0, linearly interpolated: Q(16 + bits). */
static uint32_t interpolate(uint32_t u, int32_t bits) {
    uint32_t index = u >> bits, rest = u & ((UINT32_C(1) << bits) - 1);
    uint32_t low = harken_sigmoid_table[index], high = harken_sigmoid_table[index + 1];
    return (low << bits) + rest * (high - low);
}

int16_t harken_sigmoid(int16_t x) {
    /* The table's step is 1/24; 3 x is in units of 1/512 of a step. */
    int32_t u = 3 * x;
    uint32_t positive = (uint32_t)(u < 0 ? -u : u);
    uint32_t y = positive >> 9 >= 255 ? UINT32_C(0x7fff) << 10 : interpolate(positive, 9);
    return (int16_t)((u < 0 ? (UINT32_C(1) << 25) - y + 511 : y + 512) >> 10);
}

int16_t harken_tanh(int16_t x, int32_t shift) {
    /* tanh(x) = 2 sigmoid(2 x) - 1, so a table step is 1/48 of x. */
    int32_t u = 3 * x * ((int32_t)1 << shift);
    uint32_t positive = (uint32_t)(u < 0 ? -u : u);
    int32_t y = (int32_t)(positive >> 8 >= 255 ? UINT32_C(0xffff) << 8 : interpolate(positive, 8));
    y -= (int32_t)1 << 23;
    return (int16_t)((u < 0 ? 127 - y : 128 + y) >> 8);
}

/* harken_rescale() for four values. */
static void rescale4(int32_t *values, const harken_scale *scale) {
    const harken_scale by = *scale;
    for (int32_t i = 0; i < 4; i++) values[i] = harken_rescale(values[i], &by);
}

/* One layer: x [inputs4], as spread() wrote it, to out [outputs4] int8. */
static void dense(const harken_dense *layer, const int16_t *x, int8_t *out) {
    const int8_t *weights = layer->weights;
    int32_t blocks = (layer->inputs + 3) / 4;
    for (int32_t row = 0; row < layer->outputs; row += 4) {
        int32_t sums[4];
        for (int32_t i = 0; i < 4; i++) sums[i] = layer->bias[row + i];
        weights = multiply4(weights, x, blocks, sums);
        rescale4(sums, &layer->scale);
        for (int32_t i = 0; i < 4; i++)
            out[row + i] = (int8_t)harken_clamp(sums[i] + layer->zero_point, layer->lowest, 127);
    }
}

/* A layer at all its places: int8 to int8, n_places times the outputs, behind which up to three bytes
 * are overwritten. x [widest] is scratch. */
HARKEN_SMALL static void conv(const harken_conv *layer, const int8_t *in, int16_t *x, int8_t *out) {
    int32_t inputs = layer->dense.inputs;
    int8_t *patch = (int8_t *)(x + UP4(inputs));
    for (int32_t n = layer->n_places; n > 0; n--, in += layer->across) {
        const int8_t *run = in;
        int8_t *to = patch; /* the runs of its inputs, one after another */
        for (int32_t row = layer->rows; row > 0; row--, run += layer->pitch)
            for (int32_t i = 0; i < layer->run; i++) *to++ = run[i];
        (void)spread(patch, inputs, x);
        dense(&layer->dense, x, out);
        out += layer->dense.outputs;
    }
}

/* Add x [n] int8 to the outputs y [4]; both have their zero points. n = 1 .. 4. */
static void add4(const harken_addition *addition, int32_t *y, const int8_t *x, int32_t n) {
    int32_t other[4] = {0, 0, 0, 0};
    int32_t zero = addition->zero_point[0], other_zero = addition->zero_point[1];
    for (int32_t i = 0; i < n; i++) other[i] = (x[i] - other_zero) * (1 << 20);
    for (int32_t i = 0; i < 4; i++) y[i] = (y[i] - zero) * (1 << 20);
    rescale4(y, &addition->scale[0]);
    rescale4(other, &addition->scale[1]);
    for (int32_t i = 0; i < 4; i++) y[i] += other[i];
    rescale4(y, &addition->scale[2]);
    zero = addition->zero_point[2];
    for (int32_t i = 0; i < 4; i++) y[i] = harken_clamp(y[i] + zero, addition->lowest, 127);
}

/* One step: x [inputs4], as spread() wrote it, to out [units] int8. Shifts the memory `kept`
 * [units4 / 4][memory][4] int16 by one step. `added` [units] is the addend of a residual addition,
 * and may be `out`. */
static void svdf(const harken_svdf *layer, const int16_t *x, const int8_t *added, int16_t *kept,
                 int8_t *out) {
    const int8_t *weights = layer->weights;
    const int16_t *time = layer->time;
    const int32_t *bias = layer->bias;
    int32_t blocks = (layer->inputs + 3) / 4;
    for (int32_t row = 0; row < layer->units; row += 4, bias += 8) {
        int32_t newest[4] = {bias[0], bias[1], bias[2], bias[3]};
        weights = multiply4(weights, x, blocks, newest);
        rescale4(newest, &layer->scale[0]);
        int32_t a = bias[4], b = bias[5], c = bias[6], d = bias[7];
        for (int32_t age = layer->memory - 1; age > 0; age--, kept += 4, time += 4) {
#if defined(__ARM_FEATURE_SIMD32)
            int16x2_t ab = (int16x2_t)load(kept + 4), cd = (int16x2_t)load(kept + 6);
            store(kept, ab), store(kept + 2, cd);
            int16x2_t by_ab = (int16x2_t)load(time), by_cd = (int16x2_t)load(time + 2);
            a = __smlabb(by_ab, ab, a), b = __smlatt(by_ab, ab, b);
            c = __smlabb(by_cd, cd, c), d = __smlatt(by_cd, cd, d);
#else
            a += time[0] * (kept[0] = kept[4]);
            b += time[1] * (kept[1] = kept[5]);
            c += time[2] * (kept[2] = kept[6]);
            d += time[3] * (kept[3] = kept[7]);
#endif
        }
        int32_t y[4] = {a, b, c, d};
        for (int32_t i = 0; i < 4; i++) y[i] += *time++ * (*kept++ = harken_sat16(newest[i]));
        rescale4(y, &layer->scale[1]);
        for (int32_t i = 0; i < 4; i++) y[i] = harken_clamp(y[i] + layer->zero_point, -128, 127);
        int32_t n = layer->units - row < 4 ? layer->units - row : 4;
        if (layer->addition) add4(layer->addition, y, added + row, n);
        for (int32_t i = 0; i < n; i++) out[row + i] = (int8_t)y[i];
    }
}

/* Combine a gate's sums from the inputs [4] and from the state [4] into its pre-activation, Q12. */
static inline int16_t gate(const harken_lstm *layer, int32_t which, const int32_t *from_input,
                           const int32_t *from_state) {
    int32_t one = harken_sat16(harken_rescale(from_input[which], &layer->scale[0][which]));
    int32_t two = harken_sat16(harken_rescale(from_state[which], &layer->scale[1][which]));
    return harken_sat16(one + two);
}

/* One step: x [inputs4 + units4], as spread() wrote it: the inputs, then the state. Updates c
 * [units] int16 and writes the new state h [units] int8. */
static void lstm(const harken_lstm *layer, const int16_t *x, int16_t *c, int8_t *h) {
    const int8_t *weights = layer->weights;
    const int32_t *bias = layer->bias;
    int32_t inputs = (layer->inputs + 3) / 4, units = (layer->units + 3) / 4;
    for (int32_t unit = 0; unit < layer->units; unit++, bias += 8) {
        int32_t from_input[4] = {bias[0], bias[1], bias[2], bias[3]};
        int32_t from_state[4] = {bias[4], bias[5], bias[6], bias[7]};
        weights = multiply4(weights, x, inputs, from_input);
        weights = multiply4(weights, x + 4 * inputs, units, from_state);
        int32_t in = harken_sigmoid(gate(layer, 0, from_input, from_state));
        int32_t forget = harken_sigmoid(gate(layer, 1, from_input, from_state));
        int32_t fresh = harken_tanh(gate(layer, 2, from_input, from_state), 0);
        int32_t out = harken_sigmoid(gate(layer, 3, from_input, from_state));
        int32_t kept = harken_sat16(harken_halve_round(forget * c[unit], 14));
        int32_t added = harken_sat16(harken_halve_round(in * fresh, 29 - layer->cell_bits));
        int32_t cell = harken_sat16(kept + added);
        if (layer->cell_clip) cell = harken_clamp(cell, -layer->cell_clip, layer->cell_clip);
        c[unit] = (int16_t)cell;
        int32_t squashed = harken_tanh((int16_t)cell, 12 - layer->cell_bits);
        int32_t y = harken_rescale(squashed * out, &layer->hidden) + layer->zero_point;
        h[unit] = (int8_t)harken_clamp(y, -128, 127);
    }
}

/* Bytes of an SVDF layer's memory, a multiple of 8. */
static size_t kept_bytes(const harken_svdf *layer) {
    return 2 * (size_t)layer->memory * UP4(layer->units);
}

HARKEN_SMALL size_t harken_network_bytes(const harken_network *network) {
    size_t bytes = 0;
    for (int32_t i = 0; i < network->n_svdf; i++) bytes += kept_bytes(&network->svdf[i]);
    for (int32_t i = 0; i < network->n_lstm; i++) bytes += UP8(3 * UP4(network->lstm[i].units));
    return bytes;
}

HARKEN_SMALL size_t harken_network_scratch(const harken_network *network) {
    return 4 * (size_t)network->widest;
}

HARKEN_SMALL void harken_network_reset(const harken_network *network, void *state) {
    uint8_t *place = (uint8_t *)state;
    for (int32_t i = 0; i < network->n_svdf; i++) {
        size_t bytes = kept_bytes(&network->svdf[i]);
        memset(place, 0, bytes);
        place += bytes;
    }
    for (int32_t i = 0; i < network->n_lstm; i++) {
        const harken_lstm *layer = &network->lstm[i];
        size_t units = UP4(layer->units);
        int16_t *c = (int16_t *)(void *)place;
        int8_t *h = (int8_t *)(c + units);
        for (size_t unit = 0; unit < units; unit++) {
            c[unit] = 0;
            h[unit] = layer->zero_point;
        }
        place += UP8(3 * units);
    }
}

const int8_t *harken_network_step(const harken_network *network, void *state, void *scratch,
                                  const int8_t *features) {
    int16_t *x = (int16_t *)scratch;
    int8_t *other = (int8_t *)(x + network->widest); /* layers alternate between the two */
    int8_t *out = other + network->widest;
    uint8_t *place = (uint8_t *)state;
    const int8_t *in = features;
    for (int32_t i = 0; i < network->n_conv; i++) {
        int8_t *to = in == out ? other : out;
        conv(&network->conv[i], in, x, to);
        in = to;
    }
    for (int32_t i = 0; i < network->n_svdf; i++) {
        const harken_svdf *layer = &network->svdf[i];
        int8_t *to = in == out ? other : out; /* still holds the previous layer's inputs */
        const int8_t *added = layer->addition && layer->addition->span == 1 ? in : to;
        (void)spread(in, layer->inputs, x);
        svdf(layer, x, added, (int16_t *)(void *)place, to);
        in = to;
        place += kept_bytes(layer);
    }
    for (int32_t i = 0; i < network->n_lstm; i++) {
        const harken_lstm *layer = &network->lstm[i];
        size_t units = UP4(layer->units);
        int16_t *c = (int16_t *)(void *)place;
        int8_t *h = (int8_t *)(c + units);
        (void)spread(h, layer->units, spread(in, layer->inputs, x));
        lstm(layer, x, c, out);
        for (int32_t unit = 0; unit < layer->units; unit++) h[unit] = out[unit];
        in = h;
        place += UP8(3 * units);
    }
    (void)spread(in, network->last->inputs, x);
    dense(network->last, x, out);
    return out;
}
