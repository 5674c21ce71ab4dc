"""Simulated rooms: what is drawn, what is written, and what is said to mistakes."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import soundfile
from command import harken

pytest.importorskip("librosa", reason="training needs harken[train]")

from harken.edge.errors import DataError
from harken.train.synth import simulate
from harken.train.synth.folder import write_rooms


def response_of(room):
    """Noise that falls by 60 dB in the time that the room has."""
    time_s = np.arange(round(0.6 * simulate.RATE_HZ)) / simulate.RATE_HZ
    noise = np.random.default_rng(0).standard_normal(len(time_s))
    return (
        np.rint(8000 * noise * 10 ** (-3 * time_s / room.rt60_s)).clip(-32767, 32767).astype("i2")
    )


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rooms_lie_within_their_limits():
    rooms = [simulate.draw_room(np.random.default_rng([3, index])) for index in range(200)]
    for room in rooms:
        low, high = np.array(simulate.SMALLEST_M), np.array(simulate.LARGEST_M)
        assert (low <= room.size_m).all()
        assert (room.size_m <= high).all()
        assert simulate.RT60_S[0] <= room.rt60_s <= simulate.RT60_S[1]
        assert 0.05 <= room.absorption <= 1
        assert simulate.DISTANCE_M[0] <= room.distance_m <= simulate.DISTANCE_M[1]
        apart = np.subtract(room.source_m, room.microphone_m)
        assert np.linalg.norm(apart) == pytest.approx(room.distance_m, abs=0.01)
        for place in (room.source_m, room.microphone_m):
            assert (np.array(place) > 0).all()
            assert (np.array(place) < room.size_m).all()
    assert len({room.size_m for room in rooms}) == 200
    near = sum(room.distance_m < 1 for room in rooms)
    assert 50 < near < 150


def test_reverberation_is_measured():
    room = simulate.draw_room(np.random.default_rng(1))
    assert simulate.reverberation_s(response_of(room)) == pytest.approx(room.rt60_s, rel=0.1)


def test_the_folder_holds_rooms_and_what_they_are(tmp_path):
    folder = tmp_path / "made" / "rooms"
    seen = []
    written = write_rooms(
        folder, count=3, seed=7, progress=lambda *at: seen.append(at), response=response_of
    )
    names = {"room_000.flac", "room_001.flac", "room_002.flac", "rooms.json", "README.md"}
    assert set(contents(folder)) == names
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    record = json.loads((folder / "rooms.json").read_text())
    assert (record["seed"], record["count"], record["direct_sound_at"]) == (7, 3, 16)
    assert [room["name"] for room in record["rooms"]] == [file.name for file in written]
    assert record["rooms"][1]["size_m"] == list(written[1].room.size_m)
    assert "--count 3 --seed 7" in (folder / "README.md").read_text()
    info = soundfile.info(folder / "room_000.flac")
    assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, count, seed in (("a", 3, 1), ("b", 3, 1), ("more", 5, 1), ("other", 3, 2)):
        write_rooms(tmp_path / name, count=count, seed=seed, response=response_of)
    a, b, more, other = (contents(tmp_path / name) for name in ("a", "b", "more", "other"))
    assert a == b
    assert all(more[f"room_{index:03d}.flac"] == a[f"room_{index:03d}.flac"] for index in range(3))
    assert other["room_000.flac"] != a["room_000.flac"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_ends_early_leaves_nothing(tmp_path, error):
    def fails(room):
        raise error

    with pytest.raises((KeyboardInterrupt, DataError)):
        write_rooms(tmp_path / "rooms", count=2, response=fails)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_will_do(tmp_path):
    write_rooms(tmp_path, count=1, response=response_of)
    assert (tmp_path / "room_000.flac").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    outcome = harken("rooms", "--out", tmp_path, "--count", 1)
    assert outcome.exit_code == 5
    assert "is not empty; choose a new folder" in outcome.error
    outcome = harken("rooms", "--out", tmp_path / "mine.txt")
    assert outcome.exit_code == 5
    assert "is a file; choose a folder" in outcome.error


def test_without_the_simulator_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyroomacoustics", None)
    outcome = harken("rooms", "--out", tmp_path / "rooms", "--count", 1)
    assert outcome.exit_code == 6
    assert "pip install 'harken[rooms]'" in outcome.error
    assert not (tmp_path / "rooms").exists()


def test_simulated_rooms(tmp_path):
    pytest.importorskip("pyroomacoustics", reason="simulating needs harken[rooms]")
    outcome = harken("rooms", "--out", tmp_path / "a", "--count", 3, "--seed", 1, "--json")
    assert outcome.exit_code == 0, outcome.err
    rooms = json.loads(outcome.out)["rooms"]
    harken("rooms", "--out", tmp_path / "b", "--count", 3, "--seed", 1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    for room in rooms:
        samples, _ = soundfile.read(tmp_path / "a" / room["name"], dtype="int16")
        assert len(samples) == room["samples"] <= 9600
        assert np.abs(samples).max() == round(0.9 * 32767)
        assert abs(int(np.argmax(np.abs(samples[:24]))) - 16) <= 1  # the direct sound
        assert np.abs(samples[:8]).max() < 0.1 * np.abs(samples).max()
