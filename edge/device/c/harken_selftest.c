/* The self-test that a board runs at boot: golden samples in, checksums compared. */
#include "harken.h"

/* CRC-32 (IEEE 802.3, reflected), bit by bit: small, and fast enough. */
static uint32_t crc32(uint32_t crc, const void *data, size_t n) {
    const uint8_t *bytes = (const uint8_t *)data;
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (UINT32_C(0xedb88320) & (0 - (crc & 1)));
    }
    return ~crc;
}

static uint32_t crc32_number(uint32_t crc, uint64_t number) {
    uint8_t bytes[4] = {(uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16),
                        (uint8_t)(number >> 24)};
    return crc32(crc, bytes, 4);
}

int harken_selftest(void *memory, size_t size, const harken_model *model,
                    const harken_golden *golden, harken_result *result) {
    harken_result got = {0, 0, 0, 0, 0, 0};
    harken *h;
    if (!golden) return HARKEN_ERROR_NULL;
    int status = harken_init(&h, memory, size, model);
    if (status != HARKEN_OK) return status;
    uint32_t to_frame = HARKEN_WINDOW; /* samples until the next frame is complete */
    for (uint32_t repeat = 0; repeat < golden->n_repeats; repeat++) {
        for (uint32_t at = 0; at < golden->n_samples;) {
            int16_t pcm[32];
            uint32_t n = golden->n_samples - at;
            if (n > to_frame) n = to_frame;
            if (n > 32) n = 32;
            for (uint32_t i = 0; i < n; i++) pcm[i] = (int16_t)(golden->pcm[at + i] * 256);
            uint64_t steps = harken_steps(h);
            harken_event event;
            int n_events = harken_feed(h, pcm, n, &event, 1);
            if (n_events < 0) return n_events;
            at += n;
            to_frame -= n;
            if (to_frame) continue;
            to_frame = model->hop_samples;
            got.n_frames++;
            got.features = crc32(got.features, harken_features(h), model->frontend->n_mfcc);
            if (harken_steps(h) != steps) {
                got.n_steps++;
                got.logits = crc32(got.logits, harken_logits(h), model->n_labels);
            }
            if (n_events) {
                got.n_events++;
                got.events = crc32_number(got.events, event.label);
                got.events = crc32_number(got.events, event.start_sample);
                got.events = crc32_number(got.events, event.end_sample);
            }
        }
    }
    if (result) *result = got;
    int same = got.features == golden->features && got.logits == golden->logits &&
               got.events == golden->events && got.n_frames == golden->n_frames &&
               got.n_steps == golden->n_steps && got.n_events == golden->n_events;
    return same ? HARKEN_OK : HARKEN_ERROR_MISMATCH;
}
