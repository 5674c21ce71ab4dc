/*
 * The library on a computer: mono samples from standard input, words to standard output.
 *
 *     ffmpeg -i FILE -f f32le -ac 1 - | ./listen --rate 48000 --float
 *
 * A faint word before a word stands before it, in parentheses.
 *
 * --rate HZ   sample rate of the input; default: the model's
 * --float     the input is float32 with full scale at 1; otherwise int16 (both little-endian)
 * --json      one line of JSON per word
 * --logits    instead of words, the raw int8 logits of every step
 * --features  instead of words, the raw int8 features of every frame; only at the model's rate
 * --check     read no input: run the self-test, exit with 0 or 1
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harken_app.h"

#define MOST 1920 /* 10 ms at the highest rate */

static uint8_t bytes[4 * MOST];
static float floats[MOST];
static int16_t integers[MOST];

static int usage(const char *program) {
    fprintf(stderr,
            "usage: %s [--rate HZ] [--float] [--json | --logits | --features] < SAMPLES\n"
            "       %s --check\n",
            program, program);
    return 2;
}

static int failed(const char *what, int status) {
    fprintf(stderr, "error: %s: %s\n", what, harken_error(status));
    return 1;
}

/* Decode little-endian samples, whatever the byte order of this machine, and feed them. */
static int feed(harken_stream *s, int is_float, size_t n, harken_event *event) {
    for (size_t i = 0; i < n; i++) {
        if (is_float) {
            const uint8_t *b = bytes + 4 * i;
            uint32_t bits = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
            memcpy(floats + i, &bits, 4);
        } else {
            integers[i] = (int16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
        }
    }
    return is_float ? harken_stream_feed(s, floats, n, event, 1)
                    : harken_stream_feed16(s, integers, n, event, 1);
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
    print_json(harken_label(event->label));
    printf(", \"confidence\": %.4f, \"start_sample\": %" PRIu64 ", \"end_sample\": %" PRIu64,
           event->confidence / 16777216.0, event->start_sample, event->end_sample);
    if (event->faint != HARKEN_NO_WORD) {
        fputs(", \"faint\": {\"word\": ", stdout);
        print_json(harken_label(event->faint));
        printf(", \"confidence\": %.4f, \"end_sample\": %" PRIu64 "}",
               event->faint_confidence / 16777216.0, event->faint_sample);
    }
    puts("}");
}

int main(int argc, char **argv) {
    uint32_t rate = harken_model_rate();
    int is_float = 0;
    const char *what = "";
    for (int i = 1; i < argc; i++) {
        char *end = NULL;
        if (!strcmp(argv[i], "--rate") && i + 1 < argc) {
            unsigned long number = strtoul(argv[++i], &end, 10);
            if (*end || number > HARKEN_STREAM_MAX_RATE) number = 0;
            rate = (uint32_t)number;
        } else if (!strcmp(argv[i], "--float")) {
            is_float = 1;
        } else if (!*what && (!strcmp(argv[i], "--json") || !strcmp(argv[i], "--logits") ||
                              !strcmp(argv[i], "--features") || !strcmp(argv[i], "--check"))) {
            what = argv[i];
        } else {
            return usage(argv[0]);
        }
    }
    if (!strcmp(what, "--check")) {
        int status = harken_check();
        return status == HARKEN_OK ? 0 : failed("harken_check", status);
    }
    int json = !strcmp(what, "--json"), logits = !strcmp(what, "--logits");
    int features = !strcmp(what, "--features");
    if (features && rate != harken_model_rate()) return usage(argv[0]);

    harken_stream *s;
    int status = harken_open(&s, rate);
    if (status != HARKEN_OK) return failed("harken_open", status);
    const harken *engine = harken_stream_engine(s);
    uint64_t steps = 0;
    /* Chunks shorter than a step; for features, chunks that end where frames do. */
    size_t chunk = features ? HARKEN_WINDOW : rate / 100;
    for (;;) {
        size_t n = fread(bytes, is_float ? 4 : 2, chunk, stdin);
        if (ferror(stdin)) {
            fprintf(stderr, "error: standard input cannot be read\n");
            return 1;
        }
        harken_event event;
        int n_events = feed(s, is_float, n, &event);
        if (n_events < 0) return failed("harken_stream_feed", n_events);
        if (features && n == chunk)
            fwrite(harken_features(engine), 1, harken_n_features(), stdout);
        if (logits && harken_steps(engine) != steps)
            fwrite(harken_logits(engine), 1, harken_labels(), stdout);
        steps = harken_steps(engine);
        if (n_events > 0 && !features && !logits) {
            if (json) {
                print_event(&event);
            } else {
                if (event.faint != HARKEN_NO_WORD) printf("(%s) ", harken_label(event.faint));
                printf("%s %.0f %% (samples %" PRIu64 " to %" PRIu64 ")\n", harken_label(event.label),
                       event.confidence / 16777216.0 * 100, event.start_sample, event.end_sample);
            }
            fflush(stdout);
        }
        if (n < chunk) break;
        if (features) chunk = @HOP@;
    }
    harken_close(s);
    return 0;
}
