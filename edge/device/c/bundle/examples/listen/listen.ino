// Prints words from a microphone to the serial port. Write microphone_read() for your board's
// microphone (PDM.h, I2S.h, an ADC): 16-bit samples, mono, at HARKEN_@UPPER@_SAMPLE_RATE.
#include <harken.h>
#include <model_data.h>
#include <model_name.h>

static uint64_t memory[HARKEN_MODEL_BYTES / 8];
static harken *engine;

static int microphone_read(int16_t *pcm, int n) {
  (void)pcm;
  (void)n;
  return 0;  // replace this: return the number of samples read
}

void setup() {
  Serial.begin(115200);
  int status = harken_selftest(memory, sizeof memory, &HARKEN_MODEL, &HARKEN_MODEL_GOLDEN, nullptr);
  Serial.println(status == HARKEN_OK ? "self-test passed" : "self-test failed");
  harken_init(&engine, memory, sizeof memory, &HARKEN_MODEL);
}

void loop() {
  int16_t pcm[160];
  int n = microphone_read(pcm, 160);
  harken_event event;
  if (n > 0 && harken_feed(engine, pcm, n, &event, 1) > 0) {
    Serial.println(HARKEN_MODEL.labels[event.label]);
  }
}
