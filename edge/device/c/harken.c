/*
 * The whole pipeline: samples fill frames; frames that pass the gate become features; features feed
 * network steps; posteriors become events. From the logits on, all arithmetic is integer, with or
 * without a floating-point unit.
 *
 * Memory layout: struct harken; scratch, shared by the front end and the network; the network's
 * state; posteriors [smoothing_steps][n_labels]; onset [n_labels]; samples [HARKEN_WINDOW]; features
 * [context_frames][n_mfcc]; logits [n_labels]; armed [n_labels]. With a prior: its network's state,
 * the faint words and that network's last inputs, and factors [n_gaps][n_words]. With a gate: its
 * state.
 */
#include "harken.h"

#include <string.h>

#include "harken_frontend.h"
#include "harken_math.h"
#include "harken_network.h"

typedef char shifts_must_be_arithmetic[(-3 >> 1) == -2 ? 1 : -1];

#define ONE24 (UINT32_C(1) << 24)
#define ONE28 (UINT32_C(1) << 28)
#define UP8(n) (((size_t)(n) + 7) & ~(size_t)7)

/* Holds a single pointer, padded to 64 bits, so that its size is the same on every machine;
 * places() computes the others. */
struct harken {
    union {
        const harken_model *model;
        uint64_t space;
    } of;
    uint64_t step;         /* steps since the reset */
    uint64_t word_sample;  /* end_sample of the last word, for the prior */
    uint32_t talk[2];      /* moving average of "unknown", and the moving average of that, Q30 */
    uint32_t waiting;      /* steps left of the refractory time */
    uint16_t n_samples;    /* samples in the buffer */
    uint16_t row;          /* row of the posteriors that was written last */
    uint16_t early;        /* label that fired early because of the prior, or HARKEN_NO_WORD */
    uint16_t last_word;    /* word that harken_pending() may still refer to, or HARKEN_NO_WORD */
    uint8_t new_frames;    /* frames since the last step */
    uint8_t expecting;     /* whether the prior's factors follow a word */
    uint8_t last_gap;      /* class of the gap before the last word */
    uint8_t awake;         /* whether the last frame was processed */
};

typedef struct {       /* a word that almost fired */
    uint32_t share;    /* its highest evidence in parts of its threshold, Q24; 0: no such word */
    uint32_t evidence; /* that evidence, Q24 */
    uint32_t step;     /* of that evidence, low 32 bits */
    uint32_t label;
} peak;

typedef struct {       /* of the prior */
    uint32_t foreseen; /* see harken_foreseen() */
    peak rising;       /* one whose evidence has not fallen yet; and ... */
    peak faint;        /* ... the clearest of those whose evidence fell since the last word */
    uint8_t word;      /* input of its network's last step: the word ... */
    uint8_t pending;   /* ... and what was pending */
    uint8_t ringing;   /* whether the last word's own evidence has yet to fall */
    uint8_t unused;
} prior_told;

typedef struct {      /* of the gate */
    int32_t floor[2]; /* levels of the room: of the energy, of the differences */
    uint16_t open;    /* frames still to be processed, loud or not */
    uint8_t heard;    /* whether any frame was processed since the last step */
    uint8_t unused[5];
} gate_state;

typedef struct {
    uint8_t *scratch;
    void *state;
    uint32_t *posteriors;
    uint32_t *onset; /* step at which a word's evidence began, low 32 bits */
    int16_t *samples;
    int8_t *features;
    int8_t *logits;
    uint8_t *armed;
    uint8_t *prior_state; /* two states: before and after the last word */
    prior_told *told;
    uint32_t *factors; /* on the odds, Q24 */
    gate_state *gate;
    size_t bytes;
} layout;

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* Take n bytes, rounded up to 8, and return where they begin. */
static size_t taken(size_t *at, size_t n) {
    size_t start = *at;
    *at += UP8(n);
    return start;
}

HARKEN_SMALL static layout places(const harken_model *model, void *memory) {
    const harken_prior *prior = model->prior;
    size_t labels = model->n_labels, at = sizeof(harken);
    size_t features = (size_t)model->context_frames * model->frontend->n_mfcc;
    size_t scratch = larger(harken_frontend_scratch(model->frontend),
                            harken_network_scratch(model->network));
    if (prior) scratch = larger(scratch, harken_network_scratch(prior->network));
    uintptr_t start = (uintptr_t)memory; /* an integer, since it may be NULL */
    layout l;
#define TAKE(n) ((void *)(start + taken(&at, n)))
    l.scratch = (uint8_t *)TAKE(scratch);
    l.state = TAKE(harken_network_bytes(model->network));
    l.posteriors = (uint32_t *)TAKE(4 * labels * model->detector->smoothing_steps);
    l.onset = (uint32_t *)TAKE(4 * labels);
    l.samples = (int16_t *)TAKE(2 * HARKEN_WINDOW);
    l.features = (int8_t *)TAKE(features);
    l.logits = (int8_t *)TAKE(labels);
    l.armed = (uint8_t *)TAKE(labels);
    l.prior_state = prior ? (uint8_t *)TAKE(2 * harken_network_bytes(prior->network)) : NULL;
    l.told = prior ? (prior_told *)TAKE(sizeof(prior_told)) : NULL;
    l.factors = prior ? (uint32_t *)TAKE(4 * (size_t)prior->n_words * prior->n_gaps) : NULL;
#undef TAKE
    l.gate = (gate_state *)(start + at); /* used only with a gate */
    l.bytes = model->gate ? at + sizeof(gate_state) : at;
    return l;
}

/* --------------------------------------------------------------------------------- numbers --- */

/* 2^-x: Q24 to Q31; Taylor series for the fraction, relative error 1e-6. */
static uint32_t exp2_minus(uint32_t x) {
    /* (ln 2)^n / n!, Q31; the signs alternate. The fraction f is Q32. */
    static const uint32_t terms[] = {
        UINT32_C(0x80000000), UINT32_C(0x58b90bfc), UINT32_C(0x1ebfbe00), UINT32_C(0x071ac236),
        UINT32_C(0x013b2ab7), UINT32_C(0x002bb100), UINT32_C(0x00050c24), UINT32_C(0x00007ff3),
    };
    uint32_t whole = x >> 24, f = x << 8, sum = 0;
    if (whole >= 31) return 0;
    for (int32_t i = 7; i >= 0; i--) sum = terms[i] - (uint32_t)(((uint64_t)sum * f) >> 32);
    return sum >> whole;
}

/* The probability, Q24, whose odds are the odds of p, Q28, times a factor of 0 .. 1, Q31. */
static uint32_t odds_lowered(uint32_t p, uint32_t factor) {
    uint64_t a = ((uint64_t)p * factor) >> 20, rest = (uint64_t)(ONE28 - p) << 11; /* Q39 */
    return a + rest ? (uint32_t)((a << 24) / (a + rest)) : ONE24;
}

/* The same for p, Q24, and a factor, Q24, of up to 2^16. */
static uint32_t odds_times(uint32_t p, uint32_t factor) {
    uint64_t a = ((uint64_t)p * factor) >> 24, rest = ONE24 - p; /* Q24 */
    return a + rest ? (uint32_t)((a << 24) / (a + rest)) : ONE24;
}

/* Logits [n] to posteriors [n], Q28: softmax. */
static void softmax(const uint32_t *exponentials, const int8_t *logits, size_t n,
                    uint32_t *posteriors) {
    int32_t top = -128;
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) top = logits[i] > top ? logits[i] : top;
    for (size_t i = 0; i < n; i++) sum += exponentials[top - logits[i]];
    /* sum is 2^28 at least, so the inverse, Q60, is 2^32 at most. */
    uint64_t inverse = (UINT64_C(1) << 60) / sum;
    for (size_t i = 0; i < n; i++)
        posteriors[i] = (uint32_t)((exponentials[top - logits[i]] * inverse) >> 32);
}

/* ------------------------------------------------------------------------------- detection --- */

static uint64_t samples_heard(const harken *h) { /* samples processed up to the current step */
    const harken_model *model = h->of.model;
    return (h->step + 1) * model->stride_frames * model->hop_samples + HARKEN_WINDOW -
           model->hop_samples;
}

/* The factors on the words' odds [n_words], Q24, at a sample; NULL outside the follow-up window. */
static const uint32_t *expected(harken *h, const layout *l, uint64_t sample) {
    const harken_prior *prior = h->of.model->prior;
    if (!prior || !h->expecting) return NULL;
    uint64_t gap = sample - h->word_sample;
    if (gap >= prior->window_samples) return NULL;
    uint32_t kind = 0;
    while (kind + 1u < prior->n_gaps && gap >= prior->gap_samples[kind]) kind++;
    return l->factors + (size_t)kind * prior->n_words;
}

/* Only a model with a prior refers to this code, so the linker leaves it out of all others. */
struct harken_prior_code {
    void (*forget)(harken *h, const layout *l);
    /* A step at which nothing fired, given its evidence; `ready`: a word could have fired. */
    void (*watch)(const harken *h, const layout *l, const uint32_t *evidence, int ready);
    /* A word that fires now, whose evidence began `ago` steps ago. */
    void (*hear)(harken *h, const layout *l, uint32_t ago, harken_event *event);
};

/* One step on the posteriors in row h->row. Returns 1 and writes the event if a word fired. */
static int detect(harken *h, const layout *l, harken_event *event) {
    const harken_model *model = h->of.model;
    const harken_detector *detector = model->detector;
    uint32_t labels = model->n_labels, steps = detector->smoothing_steps;
    const uint32_t *now = l->posteriors + h->row * labels;
    uint32_t *evidence = (uint32_t *)(void *)l->scratch;
    uint64_t sample = samples_heard(h);

    /* The talk penalty as a factor, Q31, from two cascaded moving averages of the posterior of
     * "unknown". */
    uint32_t cost = UINT32_C(1) << 31;
    if (detector->talk_penalty) {
        uint32_t towards = now[detector->unknown] * 4;
        for (int i = 0; i < 2; i++) {
            int64_t away = (int64_t)towards - h->talk[i];
            h->talk[i] = (uint32_t)(h->talk[i] + ((away * detector->talk_share) >> 31));
            towards = h->talk[i];
        }
        cost = exp2_minus((uint32_t)(((uint64_t)h->talk[1] * detector->talk_penalty) >> 30));
    }

    const uint32_t *factors = expected(h, l, sample);
    for (uint32_t i = 0; i < labels; i++) {
        uint32_t p = 0;
        for (uint32_t s = 0; s < steps; s++) p += l->posteriors[s * labels + i];
        p /= steps;
        evidence[i] = p < detector->negligible ? 0 : odds_lowered(p, cost);
    }
    /* Apply the prior to the evidence; keep the acoustic evidence as well. */
    uint32_t *acoustic = evidence + labels;
    if (factors) {
        const harken_prior *prior = model->prior;
        memcpy(acoustic, evidence, 4 * labels);
        for (uint32_t w = 0; w < prior->n_words; w++) {
            uint32_t i = prior->labels[w];
            if (factors[w] == ONE24) continue;
            evidence[i] = odds_times(acoustic[i], factors[w]);
        }
    } else {
        acoustic = evidence;
    }

    uint32_t best = 0;
    for (uint32_t i = 0; i < labels; i++) {
        uint32_t threshold = detector->threshold[i];
        uint32_t most = evidence[i] > acoustic[i] ? evidence[i] : acoustic[i];
        if (most < threshold / 2 && !(h->waiting && h->early == i)) l->armed[i] = 1;
        if (evidence[i] < threshold / 10) l->onset[i] = (uint32_t)h->step + 1;
        if (evidence[i] > evidence[best]) best = i;
    }
    int ready = !h->waiting;
    int fired = ready && evidence[best] >= detector->threshold[best] && l->armed[best];
    if (h->waiting) h->waiting--;
    if (fired) {
        uint32_t ago = (uint32_t)h->step - l->onset[best];
        l->armed[best] = 0;
        h->early = evidence[best] > acoustic[best] ? (uint16_t)best : HARKEN_NO_WORD;
        h->waiting = detector->refractory_steps ? detector->refractory_steps - 1 : 0;
        event->label = (uint16_t)best;
        event->confidence = evidence[best];
        event->acoustic = acoustic[best];
        event->start_sample = (h->step - ago) * model->stride_frames * model->hop_samples;
        event->end_sample = sample;
        event->faint = HARKEN_NO_WORD;
        event->faint_confidence = 0;
        event->faint_sample = 0;
        h->talk[0] = h->talk[1] = 0;
        if (model->prior) model->prior->code->hear(h, l, ago, event);
    } else if (model->prior) {
        model->prior->code->watch(h, l, evidence, ready);
    }
    h->step++;
    return fired;
}

/* ---------------------------------------------------------------------------------- prior --- */

static void forget(harken *h, const layout *l) {
    const harken_prior *prior = h->of.model->prior;
    harken_network_reset(prior->network, l->prior_state);
    h->expecting = 0;
    h->last_word = HARKEN_NO_WORD;
    l->told->rising.share = l->told->faint.share = 0;
}

/* Run one step of the prior's network on a word; returns its logits [n_gaps][n_words]. */
static const int8_t *take_in(harken *h, const layout *l, uint32_t word, uint32_t gap,
                             uint32_t pending) {
    const harken_prior *prior = h->of.model->prior;
    uint32_t words = prior->n_words, gaps = prior->n_gaps;
    size_t bytes = harken_network_bytes(prior->network);
    uint8_t *after = l->prior_state + bytes;
    /* One-hot: the word, the class of the gap, what is pending. Built where the factors go later. */
    int8_t *inputs = (int8_t *)(void *)l->factors;
    memset(inputs, prior->zero, words + gaps + prior->n_pending);
    inputs[word] = inputs[words + gap] = inputs[words + gaps + pending] = prior->one;
    memcpy(after, l->prior_state, bytes);
    return harken_network_step(prior->network, after, l->scratch, inputs);
}

/* Probability, Q28, that the network gave a word in a class of gaps; repeats the last word's step. */
static uint32_t foreseen(harken *h, const layout *l, uint32_t word, uint32_t gap) {
    const harken_prior *prior = h->of.model->prior;
    uint32_t words = prior->n_words;
    if (!h->expecting) return ONE28 / words;
    const int8_t *logits = take_in(h, l, l->told->word, h->last_gap, l->told->pending);
    softmax(prior->exponentials, logits + (size_t)gap * words, words, l->factors);
    return l->factors[word] ? l->factors[word] : 1;
}

/* The habit that the model has for a context, or NULL. */
static const uint32_t *habit(const harken_prior *prior, uint32_t word, uint32_t pending) {
    for (uint32_t i = 0; i < prior->n_habits; i++) {
        const harken_habit *one = prior->habits + i;
        if (one->pending == pending && (one->word == word || one->word == HARKEN_ANY))
            return one->share;
    }
    return NULL;
}

/* Run the prior's network on a word, and compute the factors. */
static void expect(harken *h, const layout *l, uint32_t word, uint32_t gap, uint32_t pending,
                   const uint32_t *share) {
    const harken_prior *prior = h->of.model->prior;
    uint32_t words = prior->n_words, gaps = prior->n_gaps, all = words * gaps;
    softmax(prior->exponentials, take_in(h, l, word, gap, pending), all, l->factors);
    l->told->word = (uint8_t)word;
    l->told->pending = (uint8_t)pending;
    if (!share) share = habit(prior, word, pending);
    for (uint32_t g = 0; g < gaps && share; g++) {
        uint32_t *row = l->factors + g * words;
        uint64_t sum = 0;
        for (uint32_t w = 0; w < words; w++) sum += row[w];
        for (uint32_t w = 0; w < words; w++)
            row[w] = (uint32_t)(((uint64_t)row[w] * share[0] + sum * share[1 + w]) >> 24);
    }

    /* Likelihood ratio of a word in a gap class against a uniform prior over the window: the joint
     * probability, normalized to the window, times the number of words, divided by the share of the
     * window that the gap class covers. Averaged with 1: see docs/memory.md. */
    uint64_t inside = 0;
    for (uint32_t g = 0; g < gaps; g++)
        for (uint32_t w = 0; w < words && prior->gap_share[g]; w++) inside += l->factors[g * words + w];
    for (uint32_t g = 0; g < gaps; g++) {
        for (uint32_t w = 0; w < words; w++) {
            uint32_t *factor = l->factors + g * words + w;
            uint64_t likelier = (uint64_t)*factor * words * prior->gap_share[g]; /* Q44 */
            uint64_t odds = ONE24 / 2 + (inside ? likelier * 128 / inside : 0);  /* Q24 */
            *factor = odds < prior->least ? prior->least
                      : odds > prior->most ? prior->most
                                           : (uint32_t)odds;
        }
    }
    h->expecting = 1;
}

static void remember(harken *h, const layout *l, uint32_t label, uint64_t sample) {
    const harken_prior *prior = h->of.model->prior;
    size_t bytes = harken_network_bytes(prior->network);
    uint64_t gap = sample - h->word_sample;
    uint32_t word = 0, kind = 0;
    if (!h->expecting || gap >= prior->window_samples) {
        forget(h, l);
        gap = 0;
    }
    h->last_word = HARKEN_NO_WORD;
    while (word < prior->n_words && prior->labels[word] != label) word++;
    if (word == prior->n_words) return; /* a word of the model that is not in the grammar */
    while (kind + 1u < prior->n_gaps && gap >= prior->gap_samples[kind]) kind++;
    l->told->foreseen = foreseen(h, l, word, kind);
    if (h->expecting) /* the state after the last word is final now: commit it */
        memcpy(l->prior_state, l->prior_state + bytes, bytes);
    h->word_sample = sample;
    h->last_word = (uint16_t)word;
    h->last_gap = (uint8_t)kind;
    expect(h, l, word, kind, 0, NULL);
}

/* Note a word that rises and falls without firing, given the evidence of a step at which nothing
 * fired; `ready`: it could have. */
static void watch(const harken *h, const layout *l, const uint32_t *evidence, int ready) {
    const uint32_t *threshold = h->of.model->detector->threshold;
    prior_told *told = l->told;
    peak top = {0, 0, (uint32_t)h->step, 0};
    for (uint32_t i = 0; i < h->of.model->n_labels; i++) {
        if (evidence[i] < threshold[i] / 2) continue;
        uint64_t share = ((uint64_t)evidence[i] << 24) / threshold[i];
        if (share <= top.share) continue;
        top.share = share > UINT32_MAX ? UINT32_MAX : (uint32_t)share;
        top.evidence = evidence[i];
        top.label = i;
    }
    if (top.share) {
        /* Noise makes a word half likely, too, but then silence is likely as well. */
        int spoken = evidence[h->of.model->n_labels - 1u] * 2u < top.evidence;
        if (!told->ringing && spoken && top.share > told->rising.share) told->rising = top;
        return;
    }
    if (told->rising.share > told->faint.share ||
        top.step - told->faint.step > h->of.model->prior->faint_steps)
        told->faint = told->rising;
    told->rising.share = 0;
    if (ready) told->ringing = 0;
}

/* Add the faint word before a word that fires now, whose evidence began `ago` steps ago; and begin
 * anew. */
static void take_faint(const harken *h, const layout *l, uint32_t ago, harken_event *event) {
    const harken_model *model = h->of.model;
    prior_told *told = l->told;
    uint32_t age = (uint32_t)h->step - told->faint.step;
    /* A part of the word that fires now is no word before it. */
    if (told->faint.share && age > ago && age <= model->prior->faint_steps) {
        event->faint = (uint16_t)told->faint.label;
        event->faint_confidence = told->faint.evidence;
        event->faint_sample =
            event->end_sample - (uint64_t)age * model->stride_frames * model->hop_samples;
    }
    told->rising.share = told->faint.share = 0;
    told->ringing = 1;
}

/* Feed a word that fires, and a faint one before it, to the prior. */
static void hear(harken *h, const layout *l, uint32_t ago, harken_event *event) {
    take_faint(h, l, ago, event);
    if (event->faint != HARKEN_NO_WORD) remember(h, l, event->faint, event->faint_sample);
    remember(h, l, event->label, event->end_sample);
}

const harken_prior_code harken_with_prior = {forget, watch, hear};

/* ----------------------------------------------------------------------------------- gate --- */

/* log2(x), Q8, linear between powers of two; 0 counts as 1. */
static int32_t log2_of(uint64_t x) {
    int32_t dropped = 0;
    for (; x >> 32; x >>= 8) dropped += 8; /* the dropped bits lie below the fraction */
    uint32_t low = (uint32_t)x;
    int32_t exponent = low ? 31 - harken_leading_zeros(low) : 0;
    uint32_t fraction = exponent >= 8 ? low >> (exponent - 8) : low << (8 - exponent);
    return (exponent + dropped) * 256 + (int32_t)(fraction & 255);
}

/* Whether the gate lets the current frame pass; looks at its last hop. */
HARKEN_SMALL static int is_heard(const harken *h, const layout *l) {
    const harken_gate *gate = h->of.model->gate;
    gate_state *state = l->gate;
    if (!gate) return 1;
    uint32_t pairs = h->of.model->hop_samples / 2u;
    const int16_t *pair = l->samples + HARKEN_WINDOW - h->of.model->hop_samples;
    uint64_t energy[2] = {0, 0}; /* of the first samples, of the differences */
    int32_t sum = 0;
    for (uint32_t i = 0; i < pairs; i++, pair += 2) {
        int32_t first = pair[0];
        uint32_t difference = (uint32_t)(pair[1] - first); /* its square is below 2^32 */
        sum += first;
        energy[0] += (uint32_t)(first * first);
        energy[1] += difference * difference;
    }
    energy[0] = energy[0] * pairs - (uint64_t)((int64_t)sum * sum); /* without the mean */
    for (int i = 0; i < 2; i++) {
        int32_t level = log2_of(energy[i]) * 256, above = level - state->floor[i];
        int32_t floor =
            state->floor[i] + (above < 0 ? above >> 2 : above < gate->rise ? above : gate->rise);
        state->floor[i] = floor = harken_clamp(floor, gate->least[i], gate->most[i]);
        if (level - floor >= gate->margin && state->open < gate->hold) state->open = gate->hold;
    }
    if (!state->open) return 0;
    state->open--;
    state->heard = 1;
    return 1;
}

/* ------------------------------------------------------------------------------------- API --- */

size_t harken_bytes(const harken_model *model) { return model ? places(model, NULL).bytes : 0; }

int harken_init(harken **out, void *memory, size_t size, const harken_model *model) {
    if (!out) return HARKEN_ERROR_NULL;
    *out = NULL;
    if (!memory || !model) return HARKEN_ERROR_NULL;
    if (model->version != HARKEN_VERSION) return HARKEN_ERROR_VERSION;
    if ((uintptr_t)memory & 7) return HARKEN_ERROR_ALIGNMENT;
    if (size < harken_bytes(model)) return HARKEN_ERROR_SIZE;
    harken *h = (harken *)memory;
    h->of.model = model;
    *out = h;
    return harken_reset(h);
}

int harken_reset(harken *h) {
    if (!h) return HARKEN_ERROR_NULL;
    const harken_model *model = h->of.model;
    layout l = places(model, h);
    memset(h, 0, l.bytes);
    h->of.model = model;
    h->early = HARKEN_NO_WORD;
    h->row = (uint16_t)(model->detector->smoothing_steps - 1);
    harken_network_reset(model->network, l.state);
    memset(l.features, model->frontend->zero_point,
           (size_t)model->context_frames * model->frontend->n_mfcc);
    memset(l.armed, 1, model->n_labels);
    h->awake = 1;
    if (model->gate) {
        memcpy(l.gate->floor, model->gate->most, sizeof l.gate->floor);
        l.gate->open = model->gate->warm_up;
    }
    if (model->prior) model->prior->code->forget(h, &l);
    return HARKEN_OK;
}

/* Process a full window: one frame and, if it completes a stride, one network step. */
static int frame(harken *h, const layout *l, harken_event *event) {
    const harken_model *model = h->of.model;
    size_t n_mfcc = model->frontend->n_mfcc, older = (model->context_frames - 1u) * n_mfcc;
    size_t labels = model->n_labels;
    memmove(l->features, l->features + n_mfcc, older); /* the last frame is now there twice */
    h->awake = (uint8_t)is_heard(h, l);
    if (h->awake) harken_frame(model->frontend, l->samples, l->scratch, l->features + older);
    h->n_samples = (uint16_t)(HARKEN_WINDOW - model->hop_samples);
    memmove(l->samples, l->samples + model->hop_samples, 2u * h->n_samples);
    if (++h->new_frames < model->stride_frames) return 0;
    h->new_frames = 0;
    h->row = (uint16_t)(h->row + 1 == model->detector->smoothing_steps ? 0 : h->row + 1);
    uint32_t *posteriors = l->posteriors + h->row * labels;
    if (!model->gate || l->gate->heard) {
        memcpy(l->logits,
               harken_network_step(model->network, l->state, l->scratch, l->features), labels);
        softmax(model->detector->exponentials, l->logits, labels, posteriors);
    } else {
        memset(posteriors, 0, 4 * labels);
        posteriors[labels - 1] = ONE28; /* the last label is silence */
    }
    if (model->gate) l->gate->heard = 0;
    return detect(h, l, event);
}

int harken_feed(harken *h, const int16_t *pcm, size_t n, harken_event *events, size_t room) {
    if (!h || (!pcm && n) || (!events && room)) return HARKEN_ERROR_NULL;
    if (n > HARKEN_MAX_SAMPLES) return HARKEN_ERROR_LENGTH;
    layout l = places(h->of.model, h);
    int n_events = 0;
    while (n) {
        size_t count = HARKEN_WINDOW - (size_t)h->n_samples;
        if (count > n) count = n;
        memcpy(l.samples + h->n_samples, pcm, 2 * count);
        h->n_samples = (uint16_t)(h->n_samples + count);
        pcm += count;
        n -= count;
        harken_event event;
        if (h->n_samples == HARKEN_WINDOW && frame(h, &l, &event)) {
            if ((size_t)n_events < room) events[n_events] = event;
            n_events++;
        }
    }
    return n_events;
}

const int8_t *harken_features(const harken *h) {
    if (!h) return NULL;
    const harken_model *model = h->of.model;
    size_t n_mfcc = model->frontend->n_mfcc;
    return places(model, (void *)(uintptr_t)h).features + (model->context_frames - 1u) * n_mfcc;
}

const int8_t *harken_logits(const harken *h) {
    return h ? places(h->of.model, (void *)(uintptr_t)h).logits : NULL;
}

const uint32_t *harken_posteriors(const harken *h) {
    if (!h) return NULL;
    layout l = places(h->of.model, (void *)(uintptr_t)h);
    return l.posteriors + (size_t)h->row * h->of.model->n_labels;
}

int harken_awake(const harken *h) {
    if (!h) return HARKEN_ERROR_NULL;
    return h->awake;
}

uint64_t harken_steps(const harken *h) { return h ? h->step : 0; }

static int wait_for(harken *h, unsigned pending, const uint32_t *share) {
    const harken_prior *prior = h->of.model->prior;
    if (!prior || pending >= prior->n_pending) return HARKEN_ERROR_RANGE;
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= prior->n_words && share; i++) sum += share[i];
    if (sum > ONE24 + prior->n_words) return HARKEN_ERROR_RANGE; /* each may be rounded up */
    layout l = places(h->of.model, h);
    if (h->last_word != HARKEN_NO_WORD) expect(h, &l, h->last_word, h->last_gap, pending, share);
    return HARKEN_OK;
}

int harken_pending(harken *h, unsigned pending) {
    return h ? wait_for(h, pending, NULL) : HARKEN_ERROR_NULL;
}

int harken_pending_habit(harken *h, unsigned pending, const uint32_t *share) {
    return h && share ? wait_for(h, pending, share) : HARKEN_ERROR_NULL;
}

uint32_t harken_foreseen(const harken *h) {
    if (!h || !h->of.model->prior) return 0;
    return places(h->of.model, (void *)(uintptr_t)h).told->foreseen;
}

int harken_forget(harken *h) {
    if (!h) return HARKEN_ERROR_NULL;
    if (!h->of.model->prior) return HARKEN_ERROR_RANGE;
    layout l = places(h->of.model, h);
    forget(h, &l);
    return HARKEN_OK;
}
