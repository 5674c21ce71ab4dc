"""Everything that runs on the device: samples in, word events out. Needs neither tensorflow nor librosa."""
