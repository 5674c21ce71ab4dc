/*
 * harken: voice commands on microcontrollers. Samples in, words out.
 *
 *     static uint64_t memory[HARKEN_COMMANDS_BYTES / 8];           // from model_data.h
 *     harken *h;
 *     harken_init(&h, memory, sizeof memory, &harken_commands);
 *     for (;;) {
 *         harken_event event;
 *         microphone_read(pcm, 320);
 *         if (harken_feed(h, pcm, 320, &event, 1) > 0)
 *             puts(harken_commands.labels[event.label]);
 *     }
 *
 * C99, no other library, no malloc, no stdio, no globals that change: two models may listen at once.
 * Whatever the chunks, the compiler and the machine: same samples, same bytes.
 *
 * A Q-format says how an integer stands for a fraction: Q28 is the number times 2^28.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef HARKEN_H
#define HARKEN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HARKEN_VERSION 4 /* of the structures below; model_data.c is made for one */

/* ------------------------------------------------------------------------- configuration --- */

/* 1: integers only, for chips without a floating-point unit. 0: float32. */
#ifndef HARKEN_FIXED_POINT
#if defined(__ARM_ARCH) && defined(__ARM_ARCH_PROFILE) && !defined(__ARM_FP)
#define HARKEN_FIXED_POINT 1
#elif defined(__riscv) && !defined(__riscv_flen)
#define HARKEN_FIXED_POINT 1
#else
#define HARKEN_FIXED_POINT 0
#endif
#endif

#define HARKEN_WINDOW 512 /* samples of a frame */

enum { /* what the functions return when it is less than zero */
    HARKEN_OK = 0,
    HARKEN_ERROR_NULL = -1,      /* a pointer is NULL */
    HARKEN_ERROR_ALIGNMENT = -2, /* the memory does not begin at a multiple of 8 bytes */
    HARKEN_ERROR_SIZE = -3,      /* the memory is smaller than harken_bytes() */
    HARKEN_ERROR_VERSION = -4,   /* model_data.c is for another version of this engine */
    HARKEN_ERROR_LENGTH = -5,    /* more samples in a call than HARKEN_MAX_SAMPLES */
    HARKEN_ERROR_MISMATCH = -6,  /* self-test: not the golden values */
    HARKEN_ERROR_RANGE = -7      /* a label or a state that the model does not have */
};

#define HARKEN_MAX_SAMPLES 0x1000000u /* of one call: seventeen minutes */

/* ---------------------------------------------------------------------------------- model --- */

/* real = (integer - zero point) * scale. A sum of products is brought to the scale of the output
 * by multiplier * 2^(left - 32 - right), the multiplier in 2^30 .. 2^31 - 1, or 0. */
typedef struct {
    int32_t multiplier;
    int16_t left;  /* 1 .. 8 */
    int16_t right; /* 0 .. 31 */
} harken_scale;

/* Fully connected layer. `inputs4`, `outputs4` are counts rounded up to multiples of four. */
typedef struct {
    const int8_t *weights; /* [outputs4 / 4][inputs4 / 4][4 outputs][4 inputs], padded with 0 */
    const int32_t *bias;   /* [outputs4], bias - input zero point * sum of the row's weights */
    harken_scale scale;
    int16_t inputs;
    int16_t outputs;
    int8_t zero_point; /* of the output */
    int8_t lowest;     /* -128, or the zero point: then the layer ends in a ReLU */
} harken_dense;

/* Sum of an SVDF layer's outputs and what it or the layer before it takes in, `units` of each, ending
 * in a ReLU where `lowest` is the zero point of the sum. Nothing is added to the network's input. */
typedef struct {
    harken_scale scale[3]; /* of an output and of what is added, times 2^20, to a common one; to the sum's */
    int8_t zero_point[3];  /* of the outputs, of what is added, of the sum */
    int8_t lowest;
    int8_t span; /* 1: what the layer takes in is added; 2: what the one before it takes in */
} harken_addition;

/* Singular value decomposition filter of rank 1: fully connected to one value a unit, of which the
 * last `memory` are kept; then a filter over time of each unit. A ReLU is a zero point of -128. */
typedef struct {
    const int8_t *weights; /* as those of harken_dense */
    const int16_t *time;   /* [units4 / 4][memory][4 units], for the oldest value first, padded with 0 */
    const int32_t *bias;   /* [units4 / 4][2][4 units]: for the inputs, as above; for the filter */
    const harken_addition *addition; /* NULL where nothing is added */
    harken_scale scale[2];           /* to the kept values, int16 with the zero point 0; to the output */
    int16_t inputs;
    int16_t units;
    int16_t memory;    /* at least 1 */
    int8_t zero_point; /* of the output, before the addition */
} harken_svdf;

/* Long short-term memory without peepholes. Gates in the order input, forget, cell, output. */
typedef struct {
    const int8_t *weights; /* [units][(inputs4 + units4) / 4][4 gates][4 inputs], padded with 0 */
    const int32_t *bias;   /* [units][2][4 gates]: for the inputs, for the state; as above */
    harken_scale scale[2][4]; /* [inputs, state][gate], to Q12 */
    harken_scale hidden;      /* Q30 to the scale of the state */
    int16_t inputs;
    int16_t units;
    int16_t cell_clip;     /* bound on the magnitude of the cells, Q(cell_bits); 0: none but int16's */
    int8_t cell_bits;      /* fraction bits of the cells, 0 .. 12: they are Q(cell_bits) */
    int8_t zero_point;     /* of the state h */
} harken_lstm;

/* An optional dense layer, SVDF layers or none, LSTM layers, a dense layer. */
typedef struct {
    const harken_dense *first; /* NULL where there is none */
    const harken_svdf *svdf;   /* [n_svdf], NULL where there is none */
    const harken_lstm *lstm;   /* [n_lstm] */
    const harken_dense *last;
    int16_t n_svdf;
    int16_t n_lstm;
    int16_t widest; /* most values that a layer takes in: inputs4, with units4 if it is an LSTM */
} harken_network;

/* MFCC: Hann window, power spectrum, triangles on the mel scale, logarithm, cosine transform;
 * standardised, and quantized as the network wants it. */
typedef struct {
#if HARKEN_FIXED_POINT
    const int16_t *cosine;   /* [257] cos(2 pi k / 512), Q15 */
    const uint16_t *rise;    /* [n_bins] where a bin stands between two edges, Q15 */
    const int32_t *floor;    /* [n_mels] least log2 of a band, Q15 */
    const int16_t *dct;      /* [n_mfcc][half] half a cosine transform, Q15 with row_shift */
    const int32_t *offset;   /* [n_mfcc] added to each, Q(19 - row_shift) */
    const int8_t *row_shift; /* [n_mfcc] 0 .. 10: the row of the transform is times 2^-row_shift */
#else
    const float *cosine; /* [257] cos(2 pi k / 512) */
    const float *rise;   /* [n_bins] where a bin stands between two edges, 0 .. 1 */
    const float *floor;  /* [n_mels] least power of a band */
    const float *dct;    /* [n_mfcc][half] half a cosine transform */
    const float *offset; /* [n_mfcc] added to each */
#endif
    const uint8_t *bins; /* [n_mels + 1] bins from each edge to the next */
    uint16_t first_bin;
    uint8_t n_mels; /* 2 .. 128 */
    uint8_t n_mfcc; /* 1 .. n_mels; half = (n_mels + 1) / 2 */
    int8_t zero_point;
} harken_frontend;

/* When posteriors become an event. All times in network steps. */
typedef struct {
    const uint32_t *exponentials; /* [256] exp(-d * scale of the logits), Q28 */
    const uint32_t *threshold;    /* [n_labels] Q24, more than 2^24 for what is no word */
    uint32_t negligible;          /* posterior, Q28, below which no evidence comes of it */
    uint32_t talk_share;          /* of a step in the moving averages, Q31 */
    uint32_t talk_penalty;        /* log-odds at most lost to talk, in bits, Q24; 0: none */
    uint32_t refractory_steps;
    uint8_t smoothing_steps; /* 1 .. 15 */
    uint8_t unknown;         /* label of speech that is no word */
} harken_detector;

/* What a user tends to say in a context, learned from use: a word's probability is share[0] times
 * the prior's, plus share[1 + word]. All are Q24 and add up to 1. */
typedef struct {
    const uint32_t *share; /* [1 + n_words] */
    uint8_t pending;       /* the context: what is waited for, ... */
    uint8_t word;          /* ... and the last word, HARKEN_ANY for whichever it was */
} harken_habit;

#define HARKEN_ANY 255

/* What was said before, as a prior on what is said next; see harken_pending(). */
typedef struct {
    const harken_network *network;
    const uint32_t *exponentials; /* [256] as above */
    const uint8_t *labels;        /* [n_words] label of each word */
    const uint32_t *gap_samples;  /* [n_gaps - 1] where one class of gaps ends and the next begins */
    const uint32_t *gap_share;    /* [n_gaps] inverse of its share of the window, Q16; 0: outside */
    const harken_habit *habits;   /* [n_habits], of which the first that fits holds; NULL: none */
    uint32_t window_samples;      /* so long after a word something is expected */
    uint32_t least, most;         /* bounds on the factor of a word's odds, Q24 */
    int8_t zero, one;             /* the network's inputs that stand for 0 and 1 */
    uint8_t n_words, n_gaps, n_pending;
    uint16_t n_habits;
} harken_prior;

/* Which frames are worth hearing: those louder than the room. Levels are logarithms to the base 2 of
 * the squared differences between neighbouring samples, summed over a hop, Q16. */
typedef struct {
    int32_t margin;       /* above the floor */
    int32_t rise;         /* of the floor, a frame */
    int32_t least, most;  /* bounds on the floor */
    uint16_t hold;        /* frames that are heard from a loud one on */
    uint16_t warm_up;     /* frames that are heard after a reset */
} harken_gate;

typedef struct {
    uint32_t version; /* HARKEN_VERSION */
    const char *name;
    const char *const *labels; /* [n_labels] */
    const harken_frontend *frontend;
    const harken_network *network;
    const harken_detector *detector;
    const harken_prior *prior; /* NULL where there is none */
    const harken_gate *gate;   /* NULL: every frame is heard */
    uint32_t sample_rate_hz;
    uint16_t hop_samples;
    uint8_t stride_frames;  /* frames from one network step to the next */
    uint8_t context_frames; /* frames that a step sees, at least stride_frames */
    uint8_t n_labels;
} harken_model;

/* --------------------------------------------------------------------------------- engine --- */

typedef struct harken harken; /* somebody who listens: lives in the memory given to harken_init */

typedef struct {
    uint64_t start_sample; /* first sample of the evidence, counted from the reset */
    uint64_t end_sample;   /* samples heard when the decision was made */
    uint32_t confidence;   /* the evidence that decided it, Q24 */
    uint32_t acoustic;     /* the same without what was said before, Q24 */
    uint16_t label;
} harken_event;

/* Bytes of memory that a model needs. model_data.h has it as a constant. */
size_t harken_bytes(const harken_model *model);

/* Begin to listen. `memory`, aligned to 8 bytes, belongs to the engine until it is used no more;
 * `*out` points into it. Returns HARKEN_OK, or an error, and then `*out` is NULL. */
int harken_init(harken **out, void *memory, size_t size, const harken_model *model);

/* Forget everything heard: the next sample is sample 0. */
int harken_reset(harken *h);

/* Take in `n` samples, mono, at the model's rate, and give out the words that they complete.
 * Returns how many there were, or an error, and then no sample was taken in. The first `room`
 * are written to `events`, which may be NULL if `room` is 0. After a word no other comes for the
 * refractory time: for shorter chunks a room of 1 is enough. */
int harken_feed(harken *h, const int16_t *pcm, size_t n, harken_event *events, size_t room);

/* Features of the last frame, [n_mfcc] int8, and logits of the last step, [n_labels] int8. */
const int8_t *harken_features(const harken *h);
const int8_t *harken_logits(const harken *h);

/* Posteriors of the last step, [n_labels] Q28, not smoothed; zeros before the first. */
const uint32_t *harken_posteriors(const harken *h);

/* Whether the last frame was heard: 1, or 0 where the gate is shut, since the room is quiet. Then the
 * frame counts as the one before it, and a step without a frame that was heard as certain silence:
 * its posteriors say so, and its logits are those of the step before. */
int harken_awake(const harken *h);

/* Network steps since the reset. */
uint64_t harken_steps(const harken *h);

/* With a prior: what the application waits for since the last word, 0 for nothing; see the
 * PENDING constants in model_data.h. Call it when harken_feed has returned an event. */
int harken_pending(harken *h, unsigned pending);

/* The same for a program that learns: a habit's `share` of its own, [1 + n_words], takes the place of
 * what the model has for this context. HARKEN_ERROR_RANGE if that adds up to more than 1. */
int harken_pending_habit(harken *h, unsigned pending, const uint32_t *share);

/* With a prior: how likely it held the last word to be just before that came, without any habit. Q28, at
 * least 1; 0 before the first word. A word that the prior does not know changes nothing. */
uint32_t harken_foreseen(const harken *h);

/* With a prior: forget the words that were said, and nothing else. */
int harken_forget(harken *h);

/* ------------------------------------------------------------------------------ self-test --- */

/* Golden values: what the engine answered where it was checked against TensorFlow Lite Micro.
 * They are of thousands of frames in a row, so that a state lost between steps is found. */
typedef struct {
    const int8_t *pcm;  /* [n_samples], each 256 times what it is here, fed n_repeats times */
    uint32_t n_samples;
    uint32_t n_repeats;
    uint32_t features; /* CRC-32 over the int8 features of all frames */
    uint32_t logits;   /* CRC-32 over the int8 logits of all steps */
    uint32_t events;   /* CRC-32 over the events: label, and both samples, as little-endian uint32 */
    uint32_t n_frames, n_steps, n_events;
} harken_golden;

/* What the self-test measured; compare with harken_golden where it fails. */
typedef struct {
    uint32_t features, logits, events;
    uint32_t n_frames, n_steps, n_events;
} harken_result;

/* Feed the golden samples and compare: features, logits, events, each to the last bit. Returns
 * HARKEN_OK, HARKEN_ERROR_MISMATCH, or an error of harken_init. `result` may be NULL. */
int harken_selftest(void *memory, size_t size, const harken_model *model,
                    const harken_golden *golden, harken_result *result);

#ifdef __cplusplus
}
#endif
#endif /* HARKEN_H */
