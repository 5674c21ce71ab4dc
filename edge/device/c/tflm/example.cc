// The model @NAME@ in TensorFlow Lite Micro, with harken's front end. You provide microphone_read()
// and heard(), which receives the logits.
#include <cstdint>
#include <cstring>

#include "frontend_data.h"
#include "harken_frontend.h"
#include "harken_tflm_check.h"
#include "model_tflite.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

extern int microphone_read(int16_t *pcm, int n);
extern void heard(const int8_t *logits);

// Measured with the reference kernels on a 64-bit machine; a chip's own kernels may need more.
alignas(16) static uint8_t arena[HARKEN_@UPPER@_ARENA_BYTES];

static int invoke(void *context, const int8_t *input, int8_t *logits) {
  auto *interpreter = static_cast<tflite::MicroInterpreter *>(context);
  std::memcpy(interpreter->input(0)->data.int8, input, HARKEN_@UPPER@_INPUTS);
  if (interpreter->Invoke() != kTfLiteOk) return 1;
  std::memcpy(logits, interpreter->output(0)->data.int8, HARKEN_@UPPER@_LABELS);
  return 0;
}

int listen() {
  tflite::MicroMutableOpResolver<5> resolver;
@OPERATORS@
  tflite::MicroInterpreter interpreter(tflite::GetModel(harken_@ID@_tflite), resolver, arena,
                                       sizeof arena);
  if (interpreter.AllocateTensors() != kTfLiteOk) return 1;

  // Check once on every new board or build that the state is kept.
  int worst = 0;
  int status = harken_tflm_check(&harken_@ID@_tflm_golden, invoke, &interpreter, &worst);
  if (status == HARKEN_TFLM_FAILED || status == HARKEN_TFLM_STATE_LOST) return status;
  interpreter.Reset();

  static int16_t pcm[HARKEN_WINDOW];
  static int8_t features[HARKEN_@UPPER@_INPUTS];
  static uint64_t scratch[HARKEN_@UPPER@_SCRATCH / 8];
  int8_t logits[HARKEN_@UPPER@_LABELS];
  std::memset(features, harken_@ID@_frontend.zero_point, sizeof features);
  constexpr int hop = @HOP@, stride = @STRIDE@, n_mfcc = @N_MFCC@;
  int filled = 0, frames = 0;
  for (;;) {
    int n = microphone_read(pcm + filled, HARKEN_WINDOW - filled);
    if (n < 0) return 0;
    filled += n;
    if (filled < HARKEN_WINDOW) continue;
    std::memmove(features, features + n_mfcc, sizeof features - n_mfcc);
    harken_frame(&harken_@ID@_frontend, pcm, scratch, features + sizeof features - n_mfcc);
    std::memmove(pcm, pcm + hop, (HARKEN_WINDOW - hop) * sizeof pcm[0]);
    filled -= hop;
    if (++frames % stride == 0 && invoke(&interpreter, features, logits) == 0) heard(logits);
  }
}
