// Words from a microphone, on the serial port. Write microphone_read() for the microphone of your
// board: PDM.h, I2S.h, an ADC. It returns samples of 16 bits, mono, at HARKEN_@UPPER@_SAMPLE_RATE.
#include <harken.h>
#include <model_data.h>
#include <model_name.h>

static uint64_t memory[HARKEN_MODEL_BYTES / 8];
static harken *engine;

static int microphone_read(int16_t *pcm, int n) {
  (void)pcm;
  (void)n;
  return 0;  // yours: how many samples were read
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
