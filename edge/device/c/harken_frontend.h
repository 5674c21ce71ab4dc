/* Samples in, int8 features out: librosa's MFCC, standardised and quantized. */
#ifndef HARKEN_FRONTEND_H
#define HARKEN_FRONTEND_H

#include "harken.h"

/* Bytes of scratch that a frame needs, a multiple of 8. */
size_t harken_frontend_scratch(const harken_frontend *frontend);

/* One frame: `pcm` [HARKEN_WINDOW] int16 to `features` [n_mfcc] int8. `scratch` is aligned to 4. */
void harken_frame(const harken_frontend *frontend, const int16_t *pcm, void *scratch,
                  int8_t *features);

#endif
