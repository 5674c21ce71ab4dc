"""Everything that runs on the device: samples in, word events out. No tensorflow, no librosa."""
