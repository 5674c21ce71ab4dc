/* int8 features in, int8 logits out: the arithmetic of TensorFlow Lite Micro's reference kernels. */
#ifndef HARKEN_NETWORK_H
#define HARKEN_NETWORK_H

#include "harken.h"

/* Bytes of state that a network keeps, a multiple of 8: for each SVDF what it kept, int16, [units4 / 4]
 * [memory][4 units], the oldest first; then for each LSTM c [units4] int16, Q(cell_bits), and h [units4]
 * int8. */
size_t harken_network_bytes(const harken_network *network);

/* Bytes of scratch that a step needs. */
size_t harken_network_scratch(const harken_network *network);

/* Set the state to what stands for 0. */
void harken_network_reset(const harken_network *network, void *state);

/* One step: `features` [inputs] int8 to logits [outputs4] int8, which may be read from the result,
 * a place in `scratch`, until that is used for something else. */
const int8_t *harken_network_step(const harken_network *network, void *state, void *scratch,
                                  const int8_t *features);

/* Logistic function and hyperbolic tangent: Q12 to Q15. Of tanh, x is Q12 times 2^shift. */
int16_t harken_sigmoid(int16_t x);
int16_t harken_tanh(int16_t x, int32_t shift);

#endif
