/*
 * Asleep between buffers: a Cortex-M that wakes every 40 ms, for as long as two frames take, which
 * is next to nothing while the room is quiet and the model has a gate.
 *
 * The microphone's DMA (I2S, SAI, PDM or ADC) fills the two halves of a ring by turns, without the
 * processor. What wakes the chip is its interrupt, at each half: call dma_filled() from it, with the
 * half that is full (on STM32, HAL_I2S_RxHalfCpltCallback and HAL_I2S_RxCpltCallback). Whatever else
 * interrupts wakes it too, and it goes back to sleep. Choose the deepest sleep in which DMA and
 * microphone go on: on most chips plain sleep, which this is; turn off SysTick, or it wakes you each
 * millisecond.
 *
 * A half is one step of the network: it runs once a wake-up, and a word is no later than that.
 */
#include "model_data.h"
#include "model_name.h"

#if defined(BOARD_HEADER)
#include BOARD_HEADER /* of the chip, as "stm32f4xx.h": it brings CMSIS */
#else
#ifdef __cplusplus
extern "C" {
#endif
void __WFI(void); /* CMSIS: wait for an interrupt; one that is pending will do */
void __disable_irq(void);
void __enable_irq(void);
#ifdef __cplusplus
}
#endif
#endif

#define HALF (@STRIDE@ * @HOP@) /* samples: @STEP_MS@ ms, one step */

extern void microphone_start(int16_t *ring, int n); /* DMA into ring[n], over and over */
extern void heard(const char *word, int percent);
extern void failed(const char *what, int code);
void dma_filled(int half);
int listen(void);

static uint64_t memory[HARKEN_MODEL_BYTES / 8];
static int16_t ring[2][HALF];
static volatile int full = -1; /* the half that waits to be heard, or -1 */

void dma_filled(int half) { full = half; }

int listen(void) {
    harken *h;
    int status = harken_init(&h, memory, sizeof memory, &HARKEN_MODEL);
    if (status != HARKEN_OK) {
        failed("harken_init", status);
        return status;
    }
    microphone_start(ring[0], 2 * HALF);
    for (;;) {
        /* An interrupt between the question and the sleep would be slept through; with interrupts
         * off, it is pending and ends the sleep at once. */
        __disable_irq();
        if (full < 0) __WFI();
        __enable_irq();
        int half = full;
        if (half < 0) continue; /* something else woke us */
        full = -1;
        harken_event event;
        if (harken_feed(h, ring[half], HALF, &event, 1) > 0)
            heard(HARKEN_MODEL.labels[event.label], (int)(event.confidence * 100ull >> 24));
    }
}
