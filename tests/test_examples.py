"""The programs in examples/ run as they stand."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from harken.edge import Spotter, load_model

ROOT = next(
    (folder for folder in Path(__file__).parents if (folder / "examples" / "README.md").exists()),
    Path(__file__).parent,
)
EXAMPLES = ROOT / "examples"
DEMO = ROOT / "models" / "demo.flac"
COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs the examples of a checkout")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}


def run(*arguments: object) -> str:
    """Run an example in Python and return what it printed."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment())
    return done.stdout


@pytest.fixture(scope="module")
def words() -> list[str]:
    """What `commands` hears in the recording, all at once."""
    pcm, _ = soundfile.read(DEMO, dtype="int16")
    return [event.word for event in Spotter("commands").feed(pcm)]


def test_each_is_listed():
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    assert [path.name for path in EXAMPLES.iterdir() if f"({path.name}" not in listed] == [
        "README.md"
    ]


def test_callback(words):
    heard = [line.split()[2] for line in run(EXAMPLES / "callback.py", DEMO).splitlines()]
    assert heard == words


def test_gpio_lamp_without_a_pin():
    done = run(EXAMPLES / "gpio_lamp.py", DEMO).splitlines()
    assert done[:2] == ["pin 17: on", "pin 17: off"]  # "go" and "stop"; more may follow


def test_gpio_lamp_with_a_pin(tmp_path):
    (tmp_path / "gpiozero.py").write_text(
        "class LED:\n"
        "    def __init__(self, pin): self.pin = pin\n"
        "    def on(self): print('led', self.pin, 1, flush=True)\n"
        "    def off(self): print('led', self.pin, 0, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "gpio_lamp.py"), str(DEMO)],
        check=True,
        capture_output=True,
        text=True,
        env={**environment(), "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )
    assert done.stdout.splitlines()[:2] == ["led 17 1", "led 17 0"]


def test_gpio_lamp_ends_as_listening_does():
    command = [sys.executable, str(EXAMPLES / "gpio_lamp.py"), "no-such-file.wav"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment())
    assert done.returncode == 4
    assert "no-such-file.wav" in done.stderr


@contextlib.contextmanager
def mqtt_lamp(url: str, lamp: str) -> Iterator[None]:
    """Let the example run until it has subscribed, and end it afterwards."""
    command = [sys.executable, str(EXAMPLES / "mqtt_lamp.py"), url, lamp]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as program:
        try:
            assert program.stdout is not None
            assert "->" in program.stdout.readline()
            yield
        finally:
            program.kill()


def test_mqtt_lamp(tmp_path):
    pytest.importorskip("paho.mqtt.client")
    from mosquitto import PROGRAM, Mosquitto, Subscriber

    if PROGRAM is None:
        pytest.skip("mosquitto is not installed")
    with (
        Mosquitto(tmp_path) as broker,
        Subscriber(broker) as subscriber,
        mqtt_lamp(f"{broker.url}/kitchen", "lamp/set"),
    ):
        run("-m", "harken", "listen", "--wav", DEMO, "--mqtt", f"{broker.url}/kitchen")
        switched = [message.payload for message in subscriber.await_of("lamp/set", 2)]
    assert switched[:2] == ['{"state": "ON"}', '{"state": "OFF"}']


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `--target c` writes; it is not measured on any board."""
    from harken.export.device import bundle

    folder = tmp_path_factory.mktemp("c") / "engine"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "TARGETS", ())
        bundle.export_engine(load_model("commands-tiny"), folder)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
def test_spot(engine, tmp_path):
    program = tmp_path / "spot"
    sources = [EXAMPLES / "spot.c", *(engine / "src").glob("*.c")]
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-I", engine / "src"]
    subprocess.run([COMPILER, *flags, *sources, "-lm", "-o", program], check=True)
    pcm, _ = soundfile.read(DEMO, dtype="int16")
    done = subprocess.run([program], check=True, capture_output=True, input=pcm.tobytes())
    heard = done.stdout.decode().split()
    assert {"left", "three", "five", "go", "stop"} <= set(heard)


def browser_missing() -> str:
    from browser import _missing

    return _missing()


@pytest.mark.slow
def test_page(web_site, tmp_path):
    if browser_missing():
        pytest.skip(browser_missing())
    from browser import Stage

    site = tmp_path / "site"
    shutil.copytree(web_site, site)
    for path in (EXAMPLES / "page").iterdir():
        shutil.copy(path, site)
    pcm, rate = soundfile.read(DEMO, dtype="int16")
    with Stage(site, tmp_path) as stage:
        stage.plays(np.asarray(pcm[: round(7.0 * rate)]))
        page: Any = stage.open(state="")
        assert page.locator("#words li").count() == 0
        page.get_by_role("button", name="Listen").click()
        page.locator("#words li", has_text="stop").wait_for()
        heard = [text.split()[0] for text in page.locator("#words li").all_inner_texts()]
        assert heard == ["left", "three", "five", "go", "stop"]
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="Listen").wait_for()
        assert stage.complaints == []
