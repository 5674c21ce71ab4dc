/*
 * The model @NAME@ for TensorFlow Lite Micro. Made by `harken export --target tflm`; SHA-256 of the
 * TFLite file:
 * @SHA256@
 *
 * Logits stand for:
@LABELS@
 * real = (int8 - @ZERO_POINT@) * @SCALE@; the posterior is the softmax of these.
 */
#ifndef HARKEN_@UPPER@_TFLITE_H
#define HARKEN_@UPPER@_TFLITE_H

#include "harken_tflm_check.h"

#define HARKEN_@UPPER@_ARENA_BYTES @ARENA_BYTES@ /* measured, a multiple of 16 */
#define HARKEN_@UPPER@_INPUTS @N_INPUTS@
#define HARKEN_@UPPER@_LABELS @N_LABELS@
#define HARKEN_@UPPER@_SCRATCH @SCRATCH@ /* bytes, for harken_frame */

#ifdef __cplusplus
extern "C" {
#endif

extern const unsigned char harken_@ID@_tflite[];
extern const unsigned int harken_@ID@_tflite_length;
extern const harken_tflm_golden harken_@ID@_tflm_golden;

#ifdef __cplusplus
}
#endif
#endif
