"""What becomes of a waveform on its way to a microphone: every effect by itself."""

from __future__ import annotations

import numpy as np
import pytest
import tones

pytest.importorskip("scipy", reason="training needs harken[train]")

from harken.train import augment


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pitch_hz(audio: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(audio))) * tones.RATE / len(audio))


class TestLevels:
    def test_rms_of_a_sine(self):
        time = np.arange(tones.RATE) / tones.RATE
        sine = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
        assert augment.rms(sine) == pytest.approx(0.5 / np.sqrt(2), rel=1e-4)

    def test_rms_of_silence_can_be_divided_by(self):
        assert 0 < augment.rms(np.zeros(100, np.float32)) < 1e-5

    @pytest.mark.parametrize(("gain_db", "factor"), [(0, 1), (20, 10), (-40, 0.01), (6.0206, 2)])
    def test_decibels_are_of_amplitude(self, gain_db, factor):
        assert augment.decibels(gain_db) == pytest.approx(factor, rel=1e-5)


class TestSpeed:
    @pytest.mark.parametrize("factor", [0.5, 0.87, 1.13, 2.0])
    def test_faster_is_shorter_and_higher(self, factor):
        played = augment.change_speed(tones.tone("low", seconds=1.0), factor)
        assert played.dtype == np.float32
        assert len(played) == pytest.approx(tones.RATE / factor, abs=1)
        assert pitch_hz(played) == pytest.approx(400 * factor, rel=0.01)
        assert augment.rms(played) == pytest.approx(
            augment.rms(tones.tone("low", seconds=1.0)), rel=0.02
        )

    def test_what_was_at_a_time_is_at_that_time_over_the_factor(self):
        audio = np.zeros(tones.RATE, np.float32)
        audio[8000:8200] = 1
        for factor in (0.8, 1.25):
            sounding = np.flatnonzero(augment.change_speed(audio, factor) > 0.5)
            assert sounding[0] == pytest.approx(8000 / factor, abs=2)
            assert sounding[-1] == pytest.approx(8200 / factor, abs=2)

    def test_a_factor_of_one_does_nothing(self):
        audio = tones.tone("high")
        assert augment.change_speed(audio, 1.0) is audio

    def test_one_sample_stays_one(self):
        assert augment.change_speed(np.ones(1, np.float32), 3.0).tolist() == [1.0]


class TestRooms:
    ECHO = 3200  # samples, 0.2 s

    def room(self, *, before: int = 0) -> np.ndarray:
        """Direct sound after some travel, and an echo of it: (n,) float32."""
        room = np.zeros(before + self.ECHO + 1, np.float32)
        room[before], room[before + self.ECHO] = 1.0, 0.5
        return room

    def test_it_adds_the_rooms_echo_and_keeps_the_length(self):
        audio = np.zeros(tones.RATE, np.float32)
        audio[1000] = 1.0
        wet = augment.reverberate(audio, self.room(), 1.0)
        assert wet.dtype == np.float32
        assert wet.shape == audio.shape
        assert wet[1000 + self.ECHO] == pytest.approx(0.5 * wet[1000], rel=1e-3)
        assert np.delete(np.abs(wet), [1000, 1000 + self.ECHO]).max() < 1e-4

    def test_the_direct_sound_stays_where_it_was(self):
        audio = np.zeros(tones.RATE, np.float32)
        audio[1000] = 1.0
        wet = augment.reverberate(audio, self.room(before=480), 1.0)
        assert np.argmax(np.abs(wet)) == 1000

    @pytest.mark.parametrize("loudness", [0.01, 1.0, 30.0])
    def test_it_is_as_loud_in_the_room_as_outside(self, loudness):
        audio = tones.hiss(1.0)
        wet = augment.reverberate(audio, np.float32(loudness) * self.room(), 1.0)
        assert augment.rms(wet) == pytest.approx(augment.rms(audio), rel=1e-3)

    def test_the_mix_is_the_share_of_the_room(self):
        audio = tones.hiss(1.0)
        wet = augment.reverberate(audio, self.room(), 1.0)
        half = augment.reverberate(audio, self.room(), 0.5)
        np.testing.assert_allclose(half, (audio + wet) / 2, atol=1e-6)

    def test_a_mix_of_zero_is_dry(self):
        audio = tones.hiss(0.1)
        assert augment.reverberate(audio, self.room(), 0.0) is audio


class TestFades:
    def test_only_the_first_and_last_10_ms_change(self):
        faded = augment.faded(np.ones(1000, np.float32))
        assert faded[0] == faded[-1] == 0
        assert np.all(np.diff(faded[:160]) > 0)
        assert np.all(np.diff(faded[-160:]) < 0)
        assert np.all(faded[160:-160] == 1)

    def test_what_is_shorter_rises_and_falls(self):
        assert augment.faded(np.ones(4, np.float32)).tolist() == [0, 1, 1, 0]
        assert augment.faded(np.ones(1, np.float32)).tolist() == [1]

    def test_the_sound_itself_stays(self):
        sound = np.ones(1000, np.float32)
        augment.faded(sound)
        assert np.all(sound == 1)


class TestTiltedNoise:
    @pytest.mark.parametrize("slope_db", [-2.0, 0.0, 3.0, 6.0, 9.0])
    def test_it_falls_by_so_much_an_octave(self, slope_db):
        noise = augment.tilted_noise(generator(), 8 * tones.RATE, slope_db)
        power = np.abs(np.fft.rfft(noise)) ** 2
        hertz = np.arange(len(power)) / 8
        octaves = [(low, 2 * low) for low in (62.5, 125, 250, 500, 1000, 2000, 4000)]
        levels = [
            10 * np.log10(power[(hertz >= low) & (hertz < high)].mean()) for low, high in octaves
        ]
        np.testing.assert_allclose(np.diff(levels), -slope_db, atol=0.7)

    @pytest.mark.parametrize("slope_db", [-2.0, 0.0, 9.0])
    def test_its_level_is_one(self, slope_db):
        noise = augment.tilted_noise(generator(), 12_345, slope_db)
        assert noise.shape == (12_345,)
        assert noise.dtype == np.float32
        assert augment.rms(noise) == pytest.approx(1.0, rel=1e-3)

    def test_it_is_drawn_from_the_generator(self):
        first, again, other = (augment.tilted_noise(generator(seed), 100, 3) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


class TestMasks:
    def spectrum(self, batch: int = 200, bands: int = 20, frames: int = 30) -> np.ndarray:
        return generator(1).normal(-50, 10, (batch, bands, frames)).astype(np.float32)

    def test_zero_masks_nothing(self):
        spectrum = self.spectrum()
        augment.mask_spectrum(generator(), spectrum, mel_bands=0, frames=0)
        np.testing.assert_array_equal(spectrum, self.spectrum())

    def test_a_stripe_of_mel_bands_gets_its_mean(self):
        masked, before = self.spectrum(), self.spectrum()
        augment.mask_spectrum(generator(), masked, mel_bands=5, frames=0)
        widths = []
        for now, was in zip(masked, before, strict=True):
            stripe = np.flatnonzero((now != was).any(axis=1))
            widths.append(len(stripe))
            if len(stripe):
                assert np.ptp(stripe) == len(stripe) - 1, "the stripe is in one piece"
                np.testing.assert_allclose(now[stripe], was[stripe].mean(), rtol=1e-5)
        assert set(widths) == {0, 1, 2, 3, 4, 5}

    def test_in_a_stripe_of_frames_each_band_gets_its_mean(self):
        masked, before = self.spectrum(), self.spectrum()
        augment.mask_spectrum(generator(), masked, mel_bands=0, frames=4)
        widths = []
        for now, was in zip(masked, before, strict=True):
            stripe = np.flatnonzero((now != was).any(axis=0))
            widths.append(len(stripe))
            if len(stripe):
                assert np.ptp(stripe) == len(stripe) - 1
                mean = was[:, stripe].mean(axis=1, keepdims=True)
                np.testing.assert_allclose(
                    now[:, stripe], np.broadcast_to(mean, now[:, stripe].shape), rtol=1e-5
                )
        assert set(widths) == {0, 2, 3, 4}, "one frame is its own mean"

    def test_every_clip_has_stripes_of_its_own(self):
        masked, before = self.spectrum(), self.spectrum()
        augment.mask_spectrum(generator(), masked, mel_bands=5, frames=5)
        assert len({(now != was).tobytes() for now, was in zip(masked, before, strict=True)}) > 100

    def test_stripes_are_no_larger_than_the_spectrum(self):
        spectrum = self.spectrum(batch=50, bands=3, frames=2)
        augment.mask_spectrum(generator(), spectrum, mel_bands=10, frames=10)
        assert np.isfinite(spectrum).all()


class TestSixteenBits:
    def test_samples_are_rounded(self):
        audio = np.array([0, 0.4, 0.6, -0.6, 1000.2, -1000.7], np.float32) / 32768
        assert augment.to_pcm(audio).tolist() == [0, 0, 1, -1, 1000, -1001]

    def test_what_is_too_loud_is_clipped(self):
        audio = np.array([1.0, 5.0, -1.0, -5.0], np.float32)
        pcm = augment.to_pcm(audio)
        assert pcm.dtype == np.int16
        assert pcm.tolist() == [32767, 32767, -32768, -32768]

    def test_every_value_of_16_bits_survives(self):
        every = np.arange(-32768, 32768, dtype=np.int16)
        np.testing.assert_array_equal(
            augment.to_pcm(every.astype(np.float32) / np.float32(32768)), every
        )
