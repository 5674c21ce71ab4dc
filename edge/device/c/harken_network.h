/* int8 features in, int8 logits out, with the arithmetic of TensorFlow Lite Micro's kernels. */
#ifndef HARKEN_NETWORK_H
#define HARKEN_NETWORK_H

#include "harken.h"

/* Bytes of a network's state, a multiple of 8: for each SVDF layer its kept values, int16
 * [units4 / 4][memory][4 units], oldest first; then for each LSTM layer c, int16 [units4],
 * Q(cell_bits), and h, int8 [units4]. */
size_t harken_network_bytes(const harken_network *network);

/* Bytes of scratch that a step needs. */
size_t harken_network_scratch(const harken_network *network);

/* Reset the state to the values that stand for 0. */
void harken_network_reset(const harken_network *network, void *state);

/* One step: `features` [inputs] int8 to logits [outputs4] int8. Returns a pointer into `scratch`,
 * valid until `scratch` is reused. */
const int8_t *harken_network_step(const harken_network *network, void *state, void *scratch,
                                  const int8_t *features);

/* Logistic function and hyperbolic tangent: Q12 to Q15. tanh multiplies x by 2^shift first. */
int16_t harken_sigmoid(int16_t x);
int16_t harken_tanh(int16_t x, int32_t shift);

#endif
