/*
 * Sleep between buffers: a Cortex-M wakes up every @STEP_MS@ ms to process one network step, which
 * takes almost no time while the room is quiet and the model has a gate.
 *
 * The microphone's DMA (I2S, SAI, PDM or ADC) alternately fills the two halves of a ring buffer,
 * without the processor. Its half- and full-transfer interrupts wake the chip: call dma_filled() from
 * them with the half that is full (on STM32, HAL_I2S_RxHalfCpltCallback and
 * HAL_I2S_RxCpltCallback). Any other interrupt wakes the chip too; it then goes back to sleep. Choose
 * the deepest sleep mode in which the DMA and the microphone keep running: on most chips plain sleep,
 * as here. Turn off SysTick, or it wakes the chip every millisecond.
 *
 * Half the ring buffer is one step of the network: it runs once per wake-up, which adds no more delay
 * than that.
 */
#include "model_data.h"
#include "model_name.h"

#if defined(BOARD_HEADER)
#include BOARD_HEADER /* the chip's, such as "stm32f4xx.h": includes CMSIS */
#else
#ifdef __cplusplus
extern "C" {
#endif
void __WFI(void); /* CMSIS: wait for an interrupt; returns at once if one is pending */
void __disable_irq(void);
void __enable_irq(void);
#ifdef __cplusplus
}
#endif
#endif

#define HALF (@STRIDE@ * @HOP@) /* samples: @STEP_MS@ ms, one step */

extern void microphone_start(int16_t *ring, int n); /* circular DMA into ring[n] */
extern void heard(const char *word, int percent);
extern void failed(const char *what, int code);
void dma_filled(int half);
int listen(void);

static uint64_t memory[HARKEN_MODEL_BYTES / 8];
static int16_t ring[2][HALF];
static volatile int full = -1; /* the half to process next, or -1 */

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
        /* With interrupts on, one that comes between the check and __WFI() would be missed. With
         * interrupts off, it stays pending and ends the sleep at once. */
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
