"""A microphone in; its live channels, its audio, and the words that a model detects out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AudioError
from ...sound.microphone import Microphone
from ...sound.sources import SAMPLE_RATE_HZ
from ...spotting.spotter import Spotter
from . import level
from .finding import Finding, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ...sound.microphone import InputDevice
    from ...sound.sources import Block, Source
    from ...spotting.spotter import Event

_CHANNEL_S = 0.4  # per channel: enough to detect a dead one
_MOST_CHANNELS = 8  # devices with more are sound servers, which create as many as requested
_QUIET_PART = 0.4  # share of the time before the word is requested
_LOWER = 0.75  # share of the threshold that is suggested if a word was not detected
_LATE_S = 10.0  # extra time to wait for the audio


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """A recording from the microphone.

    Attributes
    ----------
    samples : numpy.ndarray
        Shape ``(n,)``, int16.
    rate_hz : int
        Sample rate.
    lost_s : float
        Audio lost during the recording, in seconds.
    description : str
        The device.
    events : tuple of Event
        The detected words.
    """

    samples: NDArray[np.int16]
    rate_hz: int
    lost_s: float
    description: str
    events: tuple[Event, ...]


def mixer(system: str) -> str:
    """Return where a system's microphone level is set."""
    return {
        "Linux": "alsamixer (F4 shows what records) or pavucontrol",
        "Darwin": "System Settings, Sound, Input",
        "Windows": "Settings, System, Sound, Input",
    }.get(system, "")


def chosen_device(devices: list[InputDevice], device: int | str | None) -> InputDevice | None:
    """Return the device that `Microphone` would choose; None if ambiguous."""
    if device is None:
        found = [each for each in devices if each.default]
    elif isinstance(device, int):
        found = [each for each in devices if each.index == device]
    else:
        found = [each for each in devices if device.lower() in each.name.lower()]
    return found[0] if len(found) == 1 else None


def check_channels(device: InputDevice) -> Finding | None:
    """Check the channels of a device one by one; None if their number is not known.

    Raises
    ------
    AudioError
        The device cannot be opened.
    """
    if not 1 < device.channels <= _MOST_CHANNELS:
        return None
    peaks = []
    for channel in range(1, device.channels + 1):
        with Microphone(device.index, channel=channel) as source:
            blocks = _for_a_while(source, round(_CHANNEL_S * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
            sound = np.concatenate([block.samples for block in blocks]) / 32768
        peaks.append(float(np.abs(sound - sound.mean()).max(initial=0)))
    return level.judge_channels(peaks)


def record(
    source: Source,
    spotter: Spotter | None,
    *,
    rate_hz: int,
    seconds: float,
    ask: Callable[[], object],
) -> Recording:
    """Record for a while; first the noise, then prompt for a word.

    Parameters
    ----------
    source : Source
        The microphone.
    spotter : Spotter, optional
        Detects words in the recording.
    rate_hz : int
        Sample rate of the source.
    seconds : float
        Length of the recording.
    ask : callable
        Prompts the user to speak.

    Raises
    ------
    AudioError
        The microphone was lost, or delivers far fewer samples than its rate.
    """
    blocks: list[NDArray[np.int16]] = []
    events: list[Event] = []
    wanted = round(seconds * rate_hz)
    held = lost_samples = 0
    asked = False
    for block in _for_a_while(source, wanted, rate_hz):
        if not asked and held >= _QUIET_PART * wanted:
            ask()
            asked = True
        blocks.append(block.samples)
        held += len(block.samples)
        lost_samples += block.lost_samples
        if spotter is not None:
            if block.lost_samples:
                spotter.skip(block.lost_samples)
            events += spotter.feed(block.samples, arrived_at=block.arrived_at)
    return Recording(
        samples=np.concatenate([np.zeros(0, np.int16), *blocks]),
        rate_hz=rate_hz,
        lost_s=lost_samples / rate_hz,
        description=source.description,
        events=tuple(events),
    )


def check_heard(events: tuple[Event, ...], word: str, threshold: float) -> Finding:
    """Report whether the model detected the requested word; `threshold` is that word's."""
    heard = ", ".join(f"{event.word} ({event.confidence:.0%})" for event in events)
    figures = {
        "asked": word,
        "heard": [{"word": event.word, "confidence": event.confidence} for event in events],
    }
    if any(event.word == word for event in events):
        return Finding(
            check="microphone.words", state=State.OK, text=f"heard {heard}", figures=figures
        )
    return Finding(
        check="microphone.words",
        state=State.WARNING,
        text=f'asked for "{word}", detected {heard or "no word"}',
        remedy=(
            "if you said it: follow the advice on level and noise, come closer, or lower the "
            f"threshold: harken listen --threshold {word}={_LOWER * threshold:.2f}"
        ),
        figures=figures,
    )


def _for_a_while(source: Source, wanted: int, rate_hz: int) -> Iterator[Block]:
    """Yield blocks until there are enough samples, not counting lost audio."""
    patience_s = wanted / rate_hz + _LATE_S
    started_s = time.monotonic()
    held = 0
    for block in source:
        yield block
        held += len(block.samples)
        if held >= wanted:
            return
        if time.monotonic() - started_s > patience_s:
            raise AudioError(
                f"in {patience_s:.0f} s only {held / rate_hz:.1f} s of audio arrived; try another "
                "device (--device) or another USB port"
            )
