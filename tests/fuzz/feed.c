/*
 * libFuzzer on the engine: any samples, in chunks of any size, with resets, pending states and
 * calls that must be refused in between. Two engines hear the same in other chunks, and must say
 * the same; a third hears something else in between.
 *
 * How it is built and run: tests/fuzz/run.sh
 */
#include <stdlib.h>
#include <string.h>

#include "model_data.h"
#include "model_name.h"

#define ROOM 8

static uint64_t first[HARKEN_MODEL_BYTES / 8], second[HARKEN_MODEL_BYTES / 8],
    third[HARKEN_MODEL_BYTES / 8];

static void must(int holds) {
    if (!holds) abort();
}

static int same(const harken_event *a, const harken_event *b) {
    return a->label == b->label && a->confidence == b->confidence && a->acoustic == b->acoustic &&
           a->start_sample == b->start_sample && a->end_sample == b->end_sample &&
           a->faint == b->faint && a->faint_confidence == b->faint_confidence &&
           a->faint_sample == b->faint_sample;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    harken *a, *b, *c;
    must(harken_init(&a, first, sizeof first, &HARKEN_MODEL) == HARKEN_OK);
    must(harken_init(&b, second, sizeof second, &HARKEN_MODEL) == HARKEN_OK);
    must(harken_init(&c, third, sizeof third, &HARKEN_MODEL) == HARKEN_OK);
    while (size >= 4) {
        /* What to do, how many samples, how often, and from where on their bytes. */
        unsigned what = data[0] & 7, n = data[1] * (data[0] >> 3), repeats = 1 + data[2] % 16u;
        unsigned split = data[3];
        data += 4, size -= 4;
        if (what == 0) {
            must(harken_reset(a) == HARKEN_OK && harken_reset(b) == HARKEN_OK);
        } else if (what == 1) {
            int status = harken_pending(a, split);
            must(harken_pending(b, split) == status);
        } else if (what == 2) {
            must(harken_forget(a) == harken_forget(b));
        } else if (what == 3) {
            must(harken_feed(a, NULL, 1, NULL, 0) == HARKEN_ERROR_NULL);
            must(harken_feed(a, NULL, 0, NULL, 0) == 0);
            must(harken_feed(a, (const int16_t *)(const void *)first, (size_t)-1, NULL, 0) ==
                 HARKEN_ERROR_LENGTH);
        } else {
            size_t given = size / 2 < n ? size / 2 : n;
            int16_t *pcm = malloc(2 * given + 1); /* exactly as long as it says */
            memcpy(pcm, data, 2 * given);
            data += 2 * given, size -= 2 * given;
            for (unsigned repeat = 0; repeat < repeats; repeat++) {
                harken_event whole[ROOM], parts[ROOM];
                int n_whole = harken_feed(a, pcm, given, whole, ROOM), n_parts = 0;
                for (size_t at = 0; at < given;) {
                    size_t count = given - at < 1 + split ? given - at : 1 + split;
                    int found = harken_feed(b, pcm + at, count, parts + n_parts,
                                            (size_t)(ROOM - n_parts));
                    must(found >= 0 && found <= 1);
                    n_parts += found;
                    at += count;
                }
                must(n_whole == n_parts && n_whole <= ROOM);
                for (int i = 0; i < n_whole; i++) {
                    must(same(&whole[i], &parts[i]));
                    must(whole[i].label < HARKEN_MODEL.n_labels);
                    must(whole[i].start_sample < whole[i].end_sample);
                }
                harken_feed(c, pcm, given / 2, NULL, 0);
            }
            free(pcm);
        }
        must(harken_steps(a) == harken_steps(b));
        must(!memcmp(harken_posteriors(a), harken_posteriors(b), 4u * HARKEN_MODEL.n_labels));
    }
    return 0;
}
