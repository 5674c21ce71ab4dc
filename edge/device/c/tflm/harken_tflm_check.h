/*
 * Checks that TensorFlow Lite Micro on this board gives the same results as at export, and above all
 * that it keeps the LSTM's state from one Invoke() to the next: builds with CMSIS-NN kernels have
 * reset it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef HARKEN_TFLM_CHECK_H
#define HARKEN_TFLM_CHECK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HARKEN_TFLM_OK = 0,
    HARKEN_TFLM_FAILED = -1,     /* invoke() returned something other than 0 */
    HARKEN_TFLM_STATE_LOST = -2, /* every step gives results as if it were the first */
    HARKEN_TFLM_DIFFERENT = -3   /* the state is kept, but logits differ, by at most *worst */
};

typedef struct {
    const int8_t *inputs; /* [n_steps][n_inputs], starting from a reset state */
    const int8_t *logits; /* [n_steps][n_labels], results of the reference kernels */
    const int8_t *forgetful; /* [n_steps][n_labels], the same with a reset before each step */
    int16_t n_steps, n_inputs, n_labels;
} harken_tflm_golden;

/* Copies `input` [n_inputs] into the input tensor, calls Invoke(), copies the output tensor to
 * `logits` [n_labels]; returns 0. */
typedef int (*harken_tflm_invoke)(void *context, const int8_t *input, int8_t *logits);

/* Run all steps; reset the interpreter first. `worst`, which may be NULL, receives the largest
 * difference of a logit. Kernels other than the reference ones may round differently: 1 to 3 is
 * harmless. */
int harken_tflm_check(const harken_tflm_golden *golden, harken_tflm_invoke invoke, void *context,
                      int *worst);

#ifdef __cplusplus
}
#endif
#endif
