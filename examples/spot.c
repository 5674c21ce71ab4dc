// Words from the C engine: raw samples from standard input (16 bits, little-endian, mono, 16 kHz).
//
//     harken export commands-tiny --target c --out engine
//     cc -std=c99 -O2 -Iengine/src examples/spot.c engine/src/*.c -lm -o spot
//     arecord -q -f S16_LE -r 16000 -c 1 -t raw | ./spot
//
// On a board, replace fread by what fills a buffer from your microphone.
#include <stdint.h>
#include <stdio.h>

#include "model_data.h"
#include "model_name.h"

enum { BLOCK = 320 }; /* samples at a time: 20 ms */

static uint64_t memory[HARKEN_MODEL_BYTES / 8]; /* all that the engine needs */

int main(void) {
    harken *engine;
    int status = harken_init(&engine, memory, sizeof memory, &HARKEN_MODEL);
    if (status != HARKEN_OK) {
        fprintf(stderr, "error: harken_init returned %d\n", status);
        return 1;
    }

    unsigned char bytes[2 * BLOCK];
    int16_t pcm[BLOCK];
    size_t n;
    while ((n = fread(bytes, 2, BLOCK, stdin)) > 0) {
        for (size_t i = 0; i < n; i++) pcm[i] = (int16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
        harken_event event;
        if (harken_feed(engine, pcm, n, &event, 1) > 0) {
            puts(HARKEN_MODEL.labels[event.label]);
            fflush(stdout);
        }
    }
    return ferror(stdin) ? 1 : 0;
}
