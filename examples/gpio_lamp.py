"""Switch a pin of a Raspberry Pi by voice: "go" switches it on, "stop" off.

python examples/gpio_lamp.py                      # the microphone
python examples/gpio_lamp.py models/demo.flac     # a recording

Where gpiozero is not installed, a stand-in prints what the pin would do. The words come from
`harken listen --json`, one line each, so the same works in any language.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Protocol

PIN = 17  # BCM number of the pin that the lamp, a LED with its resistor, is at
ON, OFF = "go", "stop"


class Lamp(Protocol):
    """What this program needs of a pin."""

    def on(self) -> None:
        """Switch it on."""

    def off(self) -> None:
        """Switch it off."""


class PrintedLamp:
    """Stands in for a pin where there is none."""

    def on(self) -> None:
        """Say that it would be on."""
        print(f"pin {PIN}: on", flush=True)

    def off(self) -> None:
        """Say that it would be off."""
        print(f"pin {PIN}: off", flush=True)


def lamp() -> Lamp:
    """Return the pin, or the stand-in where there is no gpiozero or no pin."""
    try:
        from gpiozero import LED  # type: ignore[import-not-found]

        return LED(PIN)  # type: ignore[no-any-return]
    except Exception as missing:  # gpiozero has many errors for "this is no Raspberry Pi"
        print(f"No pin here ({missing}): printing instead.", file=sys.stderr)
        return PrintedLamp()


def obey(lamp: Lamp, word: str) -> None:
    """Switch the lamp if the word says so."""
    if word == ON:
        lamp.on()
    elif word == OFF:
        lamp.off()


def main(arguments: list[str]) -> int:
    """Listen, and return the exit code of `harken listen`."""
    source = ["--wav", arguments[0]] if arguments else []
    command = [sys.executable, "-m", "harken", "listen", "--json", "--quiet", *source]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as listening:
        assert listening.stdout is not None
        here = lamp()
        for line in listening.stdout:
            obey(here, json.loads(line)["word"])
    return listening.returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
