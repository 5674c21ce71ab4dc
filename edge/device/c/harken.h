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
 * C99, no other library, no malloc, no stdio, no mutable globals: two models may listen at once.
 * The same samples give the same bytes, whatever the chunk size, the compiler and the machine.
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

#define HARKEN_VERSION 7 /* of the structures below; model_data.c is generated for one version */

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

enum { /* status codes; errors are below zero */
    HARKEN_OK = 0,
    HARKEN_ERROR_NULL = -1,      /* a pointer is NULL */
    HARKEN_ERROR_ALIGNMENT = -2, /* the memory is not aligned to 8 bytes */
    HARKEN_ERROR_SIZE = -3,      /* the memory is smaller than harken_bytes() */
    HARKEN_ERROR_VERSION = -4,   /* model_data.c is for another version of this engine */
    HARKEN_ERROR_LENGTH = -5,    /* more samples in a call than HARKEN_MAX_SAMPLES */
    HARKEN_ERROR_MISMATCH = -6,  /* self-test: the results differ from the golden values */
    HARKEN_ERROR_RANGE = -7      /* a label or a state that the model does not have */
};

#define HARKEN_MAX_SAMPLES 0x1000000u /* of one call: seventeen minutes */

/* ---------------------------------------------------------------------------------- model --- */

/* real = (integer - zero point) * scale. A sum of products is rescaled to the output's scale: times
 * multiplier * 2^(left - 32 - right), with the multiplier in 2^30 .. 2^31 - 1, or 0. */
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
    int8_t lowest;     /* -128; or the zero point if the layer ends in a ReLU */
} harken_dense;

/* Convolution without padding: a fully connected layer at each of several places of an image of int8,
 * `across` bytes apart. Its inputs are `rows` runs of `run` bytes, `pitch` apart. With one place it is
 * just a fully connected layer. */
typedef struct {
    harken_dense dense;
    int16_t rows;
    int16_t run;
    int16_t pitch;
    int16_t across;
    int16_t n_places;
} harken_conv;

/* Residual addition: an SVDF layer's outputs plus its own inputs or those of the layer before it,
 * `units` of each; it ends in a ReLU if `lowest` is the zero point of the sum. The network's input
 * has no addition. */
typedef struct {
    harken_scale scale[3]; /* output, addend (each * 2^20) to a common scale; to the sum's */
    int8_t zero_point[3];  /* of the outputs, the addends, the sum */
    int8_t lowest;
    int8_t span; /* 1: the layer's own inputs are added; 2: those of the one before it */
} harken_addition;

/* Singular value decomposition filter (SVDF) of rank 1: a fully connected part gives one value per
 * unit, of which the last `memory` are kept; then each unit filters its own over time. A zero point
 * of -128 makes the output a ReLU. */
typedef struct {
    const int8_t *weights; /* as those of harken_dense */
    const int16_t *time;   /* [units4 / 4][memory][4 units], oldest value first, padded with 0 */
    const int32_t *bias;   /* [units4 / 4][2][4 units]: for the inputs, as above; for the filter */
    const harken_addition *addition; /* NULL if nothing is added */
    harken_scale scale[2];           /* to the kept values (int16, zero point 0); to the output */
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
    int16_t cell_clip;     /* bound on the magnitude of the cells, Q(cell_bits); 0: int16 range */
    int8_t cell_bits;      /* fraction bits of the cells, 0 .. 12: they are Q(cell_bits) */
    int8_t zero_point;     /* of the state h */
} harken_lstm;

/* Optional convolutions, optional SVDF layers, LSTM layers, a dense layer. */
typedef struct {
    const harken_conv *conv;   /* [n_conv], NULL where there is none */
    const harken_svdf *svdf;   /* [n_svdf], NULL where there is none */
    const harken_lstm *lstm;   /* [n_lstm] */
    const harken_dense *last;
    int16_t n_conv;
    int16_t n_svdf;
    int16_t n_lstm;
    int16_t widest; /* most inputs or outputs of a layer: inputs4, plus units4 for an LSTM */
} harken_network;

/* MFCC: Hann window, power spectrum, triangular mel filters, logarithm, cosine transform;
 * standardised, and quantized for the network's input. */
typedef struct {
#if HARKEN_FIXED_POINT
    const int16_t *cosine;   /* [257] cos(2 pi k / 512), Q15 */
    const uint16_t *rise;    /* [n_bins] position of a bin between two edges, Q15 */
    const int32_t *floor;    /* [n_mels] floor of a band's log2, Q15 */
    const int16_t *dct;      /* [n_mfcc][half] half of the cosine transform, Q15 with row_shift */
    const int32_t *offset;   /* [n_mfcc] added to each coefficient, Q(19 - row_shift) */
    const int8_t *row_shift; /* [n_mfcc] 0 .. 10: rows of the transform are times 2^-row_shift */
#else
    const float *cosine; /* [257] cos(2 pi k / 512) */
    const float *rise;   /* [n_bins] position of a bin between two edges, 0 .. 1 */
    const float *floor;  /* [n_mels] floor of a band's power */
    const float *dct;    /* [n_mfcc][half] half of the cosine transform */
    const float *offset; /* [n_mfcc] added to each coefficient */
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
    const uint32_t *threshold;    /* [n_labels] Q24; above 2^24 for labels that are not words */
    uint32_t negligible;          /* posterior, Q28, below which evidence counts as none */
    uint32_t talk_share;          /* weight of a step in the moving averages, Q31 */
    uint32_t talk_penalty;        /* most log-odds lost to talk, in bits, Q24; 0: none */
    uint32_t refractory_steps;
    uint8_t smoothing_steps; /* 1 .. 15 */
    uint8_t unknown;         /* label of speech that is not a word */
} harken_detector;

/* What a user tends to say in a context, learned from use: a word's probability is share[0] times
 * the prior's, plus share[1 + word]. All are Q24 and add up to 1. */
typedef struct {
    const uint32_t *share; /* [1 + n_words] */
    uint8_t pending;       /* the context: what is pending, ... */
    uint8_t word;          /* ... and the last word; HARKEN_ANY: any word */
} harken_habit;

#define HARKEN_ANY 255

/* The engine's code for a prior; the linker leaves it out unless a model refers to it. */
typedef struct harken_prior_code harken_prior_code;
extern const harken_prior_code harken_with_prior;

/* The context (what was said before), as a prior on the next word; see harken_pending(). */
typedef struct {
    const harken_prior_code *code; /* &harken_with_prior */
    const harken_network *network;
    const uint32_t *exponentials; /* [256] as above */
    const uint8_t *labels;        /* [n_words] label of each word */
    const uint32_t *gap_samples;  /* [n_gaps - 1] boundaries between the classes of gaps */
    const uint32_t *gap_share;    /* [n_gaps] inverse of its share of the window, Q16; 0: outside */
    const harken_habit *habits;   /* [n_habits], the first that matches applies; NULL: none */
    uint32_t window_samples;      /* follow-up window: how long after a word another is expected */
    uint32_t faint_steps;         /* how long before a word a faint one may have been said */
    uint32_t least, most;         /* bounds on the factor of a word's odds, Q24 */
    int8_t zero, one;             /* the network's inputs that stand for 0 and 1 */
    uint8_t n_words, n_gaps, n_pending;
    uint16_t n_habits;
} harken_prior;

/* Which frames to process: those louder than the room. Two levels from the n pairs of neighbouring
 * samples in a hop, logarithms to the base 2, Q16: of n times the energy of the first samples without
 * their mean; of the squared differences. */
typedef struct {
    int32_t margin;            /* above a floor */
    int32_t rise;              /* of a floor, per frame */
    int32_t least[2], most[2]; /* bounds on the floors */
    uint16_t hold;             /* frames processed from a loud one onwards, including it */
    uint16_t warm_up;          /* frames processed after a reset */
} harken_gate;

typedef struct {
    uint32_t version; /* HARKEN_VERSION */
    const char *name;
    const char *const *labels; /* [n_labels] */
    const harken_frontend *frontend;
    const harken_network *network;
    const harken_detector *detector;
    const harken_prior *prior; /* NULL where there is none */
    const harken_gate *gate;   /* NULL: every frame is processed */
    uint32_t sample_rate_hz;
    uint16_t hop_samples;
    uint8_t stride_frames;  /* frames from one network step to the next */
    uint8_t context_frames; /* frames that a step sees, at least stride_frames */
    uint8_t n_labels;
} harken_model;

/* --------------------------------------------------------------------------------- engine --- */

typedef struct harken harken; /* a listening engine; lives in the memory given to harken_init */

/* A detected word; with a prior, also the clearest faint word before it: one that was said after the
 * last detection and almost fired. Its evidence rose to half its threshold or more, silence having
 * less than half as much, and fell. */
typedef struct {
    uint64_t start_sample;     /* first sample of the evidence, counted from the reset */
    uint64_t end_sample;       /* samples processed when the decision was made */
    uint64_t faint_sample;     /* samples processed at the faint word's highest evidence, ... */
    uint32_t confidence;       /* the evidence that reached the threshold, Q24 */
    uint32_t acoustic;         /* the same without the contribution of the context, Q24 */
    uint32_t faint_confidence; /* ... and that evidence, Q24 */
    uint16_t label;
    uint16_t faint;            /* label of the faint word, or HARKEN_NO_WORD */
} harken_event;

#define HARKEN_NO_WORD 0xffff

/* Bytes of memory that a model needs. model_data.h defines it as a constant. */
size_t harken_bytes(const harken_model *model);

/* Start listening. `memory`, aligned to 8 bytes, belongs to the engine while the engine is in use;
 * `*out` points into it. Returns HARKEN_OK, or an error, in which case `*out` is NULL. */
int harken_init(harken **out, void *memory, size_t size, const harken_model *model);

/* Start over: the next sample is sample 0. */
int harken_reset(harken *h);

/* Process `n` samples, mono, at the model's rate, and report the words that they complete. Returns
 * the number of words, or an error, in which case no sample was processed. The first `room` words
 * are written to `events`, which may be NULL if `room` is 0. No word follows another within the
 * refractory time, so for chunks shorter than that a room of 1 is enough. */
int harken_feed(harken *h, const int16_t *pcm, size_t n, harken_event *events, size_t room);

/* Features of the last frame, [n_mfcc] int8, and logits of the last step, [n_labels] int8. */
const int8_t *harken_features(const harken *h);
const int8_t *harken_logits(const harken *h);

/* Posteriors of the last step, [n_labels] Q28, not smoothed; zeros before the first. */
const uint32_t *harken_posteriors(const harken *h);

/* Whether the last frame was processed: 1, or 0 if the gate is shut because the room is quiet. A
 * frame that is not processed counts as equal to the one before it. A step without a processed
 * frame counts as certain silence: its posteriors say so, and its logits are those of the step
 * before. */
int harken_awake(const harken *h);

/* Network steps since the reset. */
uint64_t harken_steps(const harken *h);

/* With a prior: set what the application waits for after the last word, 0 for nothing; see the
 * PENDING constants in model_data.h. Call it after harken_feed has returned an event. */
int harken_pending(harken *h, unsigned pending);

/* The same for a program that learns: its own `share` of a habit, [1 + n_words], replaces the
 * model's for this context. Returns HARKEN_ERROR_RANGE if it adds up to more than 1. */
int harken_pending_habit(harken *h, unsigned pending, const uint32_t *share);

/* With a prior: the probability it gave the last word just before that word was spoken, habits
 * excluded. Q28, at least 1; 0 before the first word. A word that the prior does not know changes
 * nothing. */
uint32_t harken_foreseen(const harken *h);

/* With a prior: forget the words said so far, and nothing else. */
int harken_forget(harken *h);

/* ------------------------------------------------------------------------------ self-test --- */

/* Golden values: the engine's results, checked against TensorFlow Lite Micro at export. They cover
 * thousands of consecutive frames, so that a state lost between steps shows. */
typedef struct {
    const int8_t *pcm;  /* [n_samples], each to be multiplied by 256, fed n_repeats times */
    uint32_t n_samples;
    uint32_t n_repeats;
    uint32_t features; /* CRC-32 over the int8 features of all frames */
    uint32_t logits;   /* CRC-32 over the int8 logits of all steps */
    uint32_t events;   /* CRC-32 over the events: label and both samples, little-endian uint32 */
    uint32_t n_frames, n_steps, n_events;
} harken_golden;

/* What the self-test measured; if it fails, compare with harken_golden. */
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
