/*
 * The engine on a computer: PCM from standard input (16 bits, little-endian, mono, at the model's
 * rate), words to standard output, one per line:
 *
 *     arecord -q -f S16_LE -r 16000 -c 1 -t raw | ./listen
 *
 * A faint word before a word stands before it, in parentheses.
 *
 * --json      one line of JSON per word
 * --features  instead of words, the raw int8 features of every frame
 * --logits    instead of words, the raw int8 logits of every step
 * --awake     instead of words, one byte per frame: 1 if processed, 0 if the gate was shut
 * --selftest  read no input: run the self-test, print its checksums, exit with 0 or 1
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model_data.h"
#include "model_name.h"

static uint64_t memory[HARKEN_MODEL_BYTES / 8];

static int selftest(void) {
    harken_result got;
    int status = harken_selftest(memory, sizeof memory, &HARKEN_MODEL, &HARKEN_MODEL_GOLDEN, &got);
    printf("{\"status\": %d, \"features\": %" PRIu32 ", \"logits\": %" PRIu32 ", \"events\": %" PRIu32
           ", \"n_frames\": %" PRIu32 ", \"n_steps\": %" PRIu32 ", \"n_events\": %" PRIu32 "}\n",
           status, got.features, got.logits, got.events, got.n_frames, got.n_steps, got.n_events);
    return status == HARKEN_OK ? 0 : 1;
}

/* Print a word as a JSON string. */
static void print_json(const char *text) {
    putchar('"');
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < ' ')
            printf("\\u%04x", byte);
        else if (byte == '"' || byte == '\\')
            printf("\\%c", byte);
        else
            putchar(byte);
    }
    putchar('"');
}

/* Print a word, and the faint one before it, as a line of JSON. */
static void print_event(const harken_event *event) {
    fputs("{\"word\": ", stdout);
    print_json(HARKEN_MODEL.labels[event->label]);
    printf(", \"confidence\": %.4f, \"start_sample\": %" PRIu64 ", \"end_sample\": %" PRIu64,
           event->confidence / 16777216.0, event->start_sample, event->end_sample);
    if (event->faint != HARKEN_NO_WORD) {
        fputs(", \"faint\": {\"word\": ", stdout);
        print_json(HARKEN_MODEL.labels[event->faint]);
        printf(", \"confidence\": %.4f, \"end_sample\": %" PRIu64 "}",
               event->faint_confidence / 16777216.0, event->faint_sample);
    }
    puts("}");
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    int json = !strcmp(what, "--json"), features = !strcmp(what, "--features");
    int logits = !strcmp(what, "--logits"), awake = !strcmp(what, "--awake");
    if (!strcmp(what, "--selftest")) return selftest();
    if (argc > 2 || (argc == 2 && !json && !features && !logits && !awake)) {
        fprintf(stderr, "usage: %s [--json | --features | --logits | --awake | --selftest] < PCM\n",
                argv[0]);
        return 2;
    }

    const harken_model *model = &HARKEN_MODEL;
    harken *h;
    int status = harken_init(&h, memory, sizeof memory, model);
    if (status != HARKEN_OK) {
        fprintf(stderr, "error: harken_init: %d\n", status);
        return 1;
    }
    uint64_t steps = 0;
    size_t wanted = HARKEN_WINDOW; /* samples that complete the next frame */
    for (;;) {
        uint8_t bytes[2 * HARKEN_WINDOW];
        int16_t pcm[HARKEN_WINDOW];
        size_t n = fread(bytes, 2, wanted, stdin);
        if (n < wanted && ferror(stdin)) {
            fprintf(stderr, "error: standard input cannot be read\n");
            return 1;
        }
        for (size_t i = 0; i < n; i++) pcm[i] = (int16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
        harken_event event;
        int n_events = harken_feed(h, pcm, n, &event, 1);
        if (n < wanted) break; /* end of input: the rest is shorter than a frame */
        wanted = model->hop_samples;
        if (features) fwrite(harken_features(h), 1, model->frontend->n_mfcc, stdout);
        if (logits && harken_steps(h) != steps) fwrite(harken_logits(h), 1, model->n_labels, stdout);
        steps = harken_steps(h);
        if (awake) putchar(harken_awake(h));
        if (n_events > 0 && !features && !logits && !awake) {
            if (json) {
                print_event(&event);
            } else {
                if (event.faint != HARKEN_NO_WORD) printf("(%s) ", model->labels[event.faint]);
                printf("%s %.0f %% (samples %" PRIu64 " to %" PRIu64 ")\n", model->labels[event.label],
                       event.confidence / 16777216.0 * 100, event.start_sample, event.end_sample);
            }
            fflush(stdout);
        }
    }
    return 0;
}
