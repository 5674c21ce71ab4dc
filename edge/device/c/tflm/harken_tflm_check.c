#include "harken_tflm_check.h"

#define MOST_LABELS 128

int harken_tflm_check(const harken_tflm_golden *golden, harken_tflm_invoke invoke, void *context,
                      int *worst) {
    int most = 0, kept = 0, forgot = 0; /* steps closer to the kept or to the reset state */
    for (int step = 0; step < golden->n_steps; step++) {
        int8_t logits[MOST_LABELS];
        const int8_t *right = golden->logits + (long)step * golden->n_labels;
        const int8_t *forgetful = golden->forgetful + (long)step * golden->n_labels;
        if (invoke(context, golden->inputs + (long)step * golden->n_inputs, logits))
            return HARKEN_TFLM_FAILED;
        long far = 0, far_forgetful = 0;
        for (int i = 0; i < golden->n_labels; i++) {
            int difference = logits[i] - right[i], other = logits[i] - forgetful[i];
            if (difference < 0) difference = -difference;
            if (difference > most) most = difference;
            far += difference;
            far_forgetful += other < 0 ? -other : other;
        }
        kept += far < far_forgetful;
        forgot += far > far_forgetful;
    }
    if (worst) *worst = most;
    return most == 0 ? HARKEN_TFLM_OK : forgot > kept ? HARKEN_TFLM_STATE_LOST : HARKEN_TFLM_DIFFERENT;
}
