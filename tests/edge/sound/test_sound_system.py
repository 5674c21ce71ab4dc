"""The microphone through a real sound system: PortAudio, ALSA and PulseAudio, without any hardware.

The monitor of a PulseAudio null sink is the default ALSA device: what is played to the sink is what
`harken listen` hears.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from harken.edge.app.listen_cli import DEMO

NEEDED = ("pulseaudio", "pactl", "pacat")
PLUGINS = ("/usr/lib/*/alsa-lib/libasound_module_pcm_pulse.so",)

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, NEEDED)),
        reason="needs pulseaudio: apt-get install pulseaudio pulseaudio-utils libasound2-plugins",
    ),
    pytest.mark.skipif(
        not any(Path("/").glob(pattern[1:]) for pattern in PLUGINS),
        reason="needs the ALSA plugin: apt-get install libasound2-plugins",
    ),
]

ALSA = """
pcm.!default { type pulse }
ctl.!default { type pulse }
"""


class SoundSystem:
    """A PulseAudio server of one's own, with a null sink to play to."""

    def __init__(self, folder: Path) -> None:
        (folder / "asound.conf").write_text("</usr/share/alsa/alsa.conf>\n" + ALSA)
        home = folder / "home"
        home.mkdir()
        (home / ".asoundrc").write_text(ALSA)
        self.env = {
            **os.environ,
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "PULSE_SERVER": f"unix:{home}/socket",
            "PULSE_COOKIE": str(home / "cookie"),
        }
        self.server = subprocess.Popen(
            [
                *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"),
                *("--disable-shm=yes", "--log-target=stderr", "--log-level=error"),
                f"--load=module-native-protocol-unix socket={home}/socket auth-anonymous=1",
            ],
            env={name: value for name, value in self.env.items() if name != "PULSE_SERVER"},
        )
        end = time.monotonic() + 20
        while self._run("pactl", "info", check=False).returncode:
            assert time.monotonic() < end, "pulseaudio did not start"
            time.sleep(0.1)

    def _run(self, *command, check=True):
        return subprocess.run(
            command, env=self.env, check=check, capture_output=True, text=True, timeout=20
        )

    def plug_in(self) -> None:
        self._run("pactl", "load-module", "module-null-sink", "sink_name=mic", "rate=48000")
        self._run("pactl", "set-default-source", "mic.monitor")

    def unplug(self) -> None:
        self._run("pactl", "unload-module", "module-null-sink")

    def play(self, samples, rate_hz) -> None:
        raw = np.repeat(samples[:, np.newaxis], 2, axis=1).tobytes()
        player = ("pacat", "--playback", "--device=mic", "--format=s16le", "--channels=2")
        subprocess.run(
            [*player, f"--rate={rate_hz}"], input=raw, env=self.env, check=True, timeout=60
        )

    def close(self) -> None:
        self.server.terminate()
        self.server.wait(10)


@pytest.fixture
def sound_system(tmp_path):
    system = SoundSystem(tmp_path)
    yield system
    system.close()


class Listening:
    """`harken listen --json`, and what it says while it runs."""

    def __init__(self, system: SoundSystem, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harken", "listen", "--json", *options],
            env=system.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict] = []
        self.said = ""
        self._readers = [threading.Thread(target=self._hear), threading.Thread(target=self._note)]
        for reader in self._readers:
            reader.start()

    def _hear(self) -> None:
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def _note(self) -> None:
        for line in self.process.stderr:
            self.said += line

    def wait_for(self, text: str, timeout_s: float = 30) -> None:
        end = time.monotonic() + timeout_s
        while text not in self.said:
            assert time.monotonic() < end, f"{text!r} was not said: {self.said}"
            assert self.process.poll() is None, self.said
            time.sleep(0.05)

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(20)
        for reader in self._readers:
            reader.join(10)
        return code

    @property
    def words(self) -> list[str]:
        return [event["word"] for event in self.events]


@pytest.fixture(scope="module")
def recording():
    """Spoken words at 44.1 kHz with silence around them.

    All of the demo's but the last, whose evidence is at its threshold: where a step begins, which
    here is up to the player, decides whether it counts.
    """
    import soxr

    samples, rate_hz = soundfile.read(DEMO, dtype="float32", stop=17 * 16_000)
    loud = soxr.resample(samples, rate_hz, 44_100)
    silence = np.zeros(44_100, np.float32)
    return np.rint(np.concatenate([silence, loud, silence]) * 32767).astype("<i2"), 44_100


def heard_in_file(samples, rate_hz, folder) -> list[dict]:
    soundfile.write(folder / "played.wav", samples, rate_hz)
    command = [sys.executable, "-m", "harken", "listen", "--json", "--wav", folder / "played.wav"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return [json.loads(line) for line in lines.splitlines()]


def test_the_microphone_hears_what_the_file_holds(sound_system, recording, tmp_path):
    samples, rate_hz = recording
    expected = heard_in_file(samples, rate_hz, tmp_path)
    sound_system.plug_in()
    listening = Listening(sound_system)
    listening.wait_for("Listening to microphone")
    time.sleep(3)  # the sound system begins to deliver
    sound_system.play(samples, rate_hz)
    time.sleep(1.5)
    assert listening.end() == 0
    assert listening.words == [event["word"] for event in expected]
    # From word to word as far apart as in the file, whenever the player began.
    live = np.diff([event["end_s"] for event in listening.events])
    filed = np.diff([event["end_s"] for event in expected])
    assert abs(live - filed).max() <= 0.081
    assert "nothing lost" in listening.said


def test_an_unplugged_microphone_is_waited_for(sound_system, recording):
    samples, rate_hz = recording
    first = samples[: 5 * rate_hz]
    sound_system.plug_in()
    listening = Listening(sound_system)
    listening.wait_for("Listening to microphone")
    time.sleep(3)
    sound_system.play(first, rate_hz)
    time.sleep(1.5)
    before = len(listening.events)
    assert before
    sound_system.unplug()
    listening.wait_for("Waiting for it")
    time.sleep(2)
    sound_system.plug_in()
    listening.wait_for("listening to microphone")
    time.sleep(3)
    sound_system.play(first, rate_hz)
    time.sleep(1.5)
    assert listening.end() == 0
    assert listening.words == 2 * listening.words[:before]
    gap_s = listening.events[before]["start_s"] - listening.events[before - 1]["end_s"]
    assert gap_s > 5  # positions are those of a clock
    assert "Traceback" not in listening.said
