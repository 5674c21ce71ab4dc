/*
 * The self-test on an emulated board: Cortex-M and RISC-V under QEMU, with semihosting.
 *
 * Prints a line of JSON: the checksums, instructions per frame and bytes of stack. With
 * `-icount shift=0` QEMU counts instructions exactly: one takes a nanosecond of its clock. If SOUND
 * is defined as the path of a file of samples on the host, the program processes that file instead.
 */
#include <stdint.h>
#include <string.h>

#include "model_data.h"

#include "model_name.h"

extern uint32_t stack_bottom[], stack_top[], data_start[], data_end[], data_load[], bss_start[],
    bss_end[];
#ifdef __cplusplus
extern "C" { /* names that linker scripts and assembly use */
#endif
int main(void);
void start(void);
void begin(void);
#ifdef __cplusplus
}
#endif

/* ---------------------------------------------------------------------------- semihosting --- */

static int semihost(int operation, const void *argument) {
#if defined(__riscv)
    register int a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(
        ".balign 16\n.option push\n.option norvc\nslli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\n"
        ".option pop"
        : "+r"(a0)
        : "r"(a1)
        : "memory");
    return a0;
#else
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
#endif
}

static void print(const char *text) { semihost(4, text); } /* SYS_WRITE0 */

static void print_number(const char *name, uint32_t number) { /* "name": number */
    char digits[12], *at = digits + 11;
    *at = 0;
    do *--at = (char)('0' + number % 10);
    while (number /= 10);
    print("\"");
    print(name);
    print("\": ");
    print(at);
}

static void leave(int code) {
    uint32_t reason[2] = {0x20026, (uint32_t)code}; /* ADP_Stopped_ApplicationExit */
    semihost(0x20, reason); /* SYS_EXIT_EXTENDED */
#if !defined(__riscv)
    semihost(0x18, (const void *)(uintptr_t)(code ? 0x20024 : 0x20026)); /* SYS_EXIT */
#endif
    for (;;) {}
}

/* ---------------------------------------------------------------------------- instructions --- */

#if defined(__riscv)
static void clock_start(void) {}
static uint64_t clock_now(void) {
    uint32_t high, low, again;
    do __asm__ volatile(".option push\n.option arch, +zicsr\n"
                        "csrr %0, minstreth\ncsrr %1, minstret\ncsrr %2, minstreth\n.option pop"
                        : "=r"(high), "=r"(low), "=r"(again));
    while (high != again);
    return (uint64_t)high << 32 | low;
}
#else
/* SysTick, 24 bits, counts the processor's clock down. Differences are taken modulo 2^24, so it must
 * be read at least once per period: every frame. */
#define SYST_CSR (*(volatile uint32_t *)0xe000e010)
#define SYST_RVR (*(volatile uint32_t *)0xe000e014)
#define SYST_CVR (*(volatile uint32_t *)0xe000e018)
#ifndef CLOCK_HZ
#define CLOCK_HZ 25000000u
#endif
static uint64_t clock_ticks;
static uint32_t clock_last;
static void clock_start(void) {
    SYST_RVR = 0xffffff;
    SYST_CVR = 0;
    SYST_CSR = 5;
    clock_last = SYST_CVR;
}
static uint64_t clock_now(void) {
    uint32_t now = SYST_CVR;
    clock_ticks += (clock_last - now) & 0xffffff;
    clock_last = now;
    return clock_ticks * (1000000000u / CLOCK_HZ);
}
#endif

/* ---------------------------------------------------------------------------------- start --- */

#if defined(__riscv)
__asm__(".section .start\n.globl start\nstart:\n"
#if defined(__riscv_flen)
        "li t0, 0x6000\ncsrs mstatus, t0\n"
#endif
        ".option push\n.option norelax\nla gp, __global_pointer$\n.option pop\n"
        "la sp, stack_top\nj begin\n");
#else
static void fault(void) {
    print("fault\n");
    leave(3);
}
#define AT(function) (const void *)(function)
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top, AT(start), AT(fault), AT(fault), AT(fault), AT(fault), AT(fault), AT(fault), 0, 0, 0,
    AT(fault), AT(fault), 0, AT(fault), AT(fault)};
#define begin start
#endif

void begin(void) {
#if !defined(__riscv)
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20; /* CPACR: the FPU, where there is one */
    __asm__ volatile("dsb\nisb");
#endif
    memcpy(data_start, data_load, (size_t)((char *)data_end - (char *)data_start));
    memset(bss_start, 0, (size_t)((char *)bss_end - (char *)bss_start));
    leave(main());
}

/* ----------------------------------------------------------------------------------- test --- */

#define PAINT 0x5a5a5a5au

static uint64_t memory[HARKEN_MODEL_BYTES / 8];

#ifndef SOUND

/* Instructions per frame on the golden samples, mean and maximum, and bytes of stack. */
static __attribute__((noinline)) void measure(uint32_t *mean, uint32_t *most, uint32_t *stack) {
    static int16_t pcm[HARKEN_WINDOW];
    const harken_golden *golden = &HARKEN_MODEL_GOLDEN;
    uint32_t frames = 0, at = 0, n = HARKEN_WINDOW;
    uint64_t total = 0;
    harken *h;
    volatile uint32_t here = 0; /* near the end of this function's stack frame */
    uint32_t *word;
    *most = 0;
    harken_init(&h, memory, sizeof memory, &HARKEN_MODEL);
    for (word = stack_bottom; (uintptr_t)word < (uintptr_t)&here - 128; word++) *(volatile uint32_t *)word = PAINT;
    for (; frames < 201; frames++, n = HARKEN_MODEL.hop_samples) {
        for (uint32_t i = 0; i < n; i++, at = (at + 1) % golden->n_samples)
            pcm[i] = (int16_t)(golden->pcm[at] * 256);
        harken_event event;
        uint64_t before = clock_now();
        harken_feed(h, pcm, n, &event, 1);
        uint32_t taken = (uint32_t)(clock_now() - before);
        if (!frames) continue; /* the first has more samples */
        total += taken;
        if (taken > *most) *most = taken;
    }
    *mean = (uint32_t)(total / (frames - 1));
    for (word = stack_bottom; *(volatile uint32_t *)word == PAINT;) word++;
    *stack = (uint32_t)((char *)&here - (char *)word);
}

#endif

#ifdef SOUND

/* Process a file of int16 samples; count from frame SETTLED on. */
static int hear_file(void) {
    static const char path[] = SOUND;
    static int16_t pcm[HARKEN_WINDOW];
    const struct {
        const char *path;
        uint32_t mode, length;
    } opened = {path, 1, sizeof path - 1}; /* "rb" */
    int file = semihost(1, &opened);
    uint32_t frames = 0, awake = 0, n_events = 0, n = HARKEN_WINDOW;
    uint64_t total = 0;
    harken *h;
    if (file < 0 || harken_init(&h, memory, sizeof memory, &HARKEN_MODEL)) return 1;
    clock_start();
    for (;; n = HARKEN_MODEL.hop_samples) {
        const struct {
            int32_t file;
            void *to;
            uint32_t bytes;
        } wanted = {file, pcm, 2 * n};
        if (semihost(6, &wanted)) break; /* SYS_READ returns the bytes not read */
        harken_event event;
        uint64_t before = clock_now();
        n_events += (uint32_t)harken_feed(h, pcm, n, &event, 1);
        uint32_t taken = (uint32_t)(clock_now() - before);
        if (frames++ < SETTLED) continue;
        total += taken;
        awake += (uint32_t)harken_awake(h);
    }
    if (frames <= SETTLED) return 1;
    print("{");
    print_number("frames", frames - SETTLED);
    print(", ");
    print_number("awake", awake);
    print(", ");
    print_number("n_events", n_events);
    print(", ");
    print_number("instructions", (uint32_t)(total / (frames - SETTLED)));
    print("}\n");
    return 0;
}

int main(void) { return hear_file(); }

#else

int main(void) {
    harken_result got;
    uint32_t mean, most, stack;
    int status = harken_selftest(memory, sizeof memory, &HARKEN_MODEL, &HARKEN_MODEL_GOLDEN, &got);
    clock_start();
    measure(&mean, &most, &stack);
    const struct {
        const char *name;
        uint32_t value;
    } said[] = {
        {"status", (uint32_t)-status}, {"features", got.features},
        {"logits", got.logits},        {"events", got.events},
        {"n_frames", got.n_frames},    {"n_steps", got.n_steps},
        {"n_events", got.n_events},    {"instructions", mean},
        {"most_instructions", most},   {"stack", stack},
    };
    for (uint32_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        print(i ? ", " : "{");
        print_number(said[i].name, said[i].value);
    }
    print("}\n");
    return status == HARKEN_OK ? 0 : 1;
}

#endif
