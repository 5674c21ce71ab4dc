"""Energies of frames in, which frames to process out: little work while nothing is said.

A frame that is no louder than the room is skipped: its MFCCs are not computed, and the network does
not run. Its steps count as certain silence, and the network keeps its state from the silence
before; docs/energy.md says why no older frames are needed. All arithmetic is in integers, so that
the C engine and browsers decide the same for every frame.

**Levels.** Two, from the pairs of neighbouring samples in the last hop of a frame: the energy of
the first samples without their mean, and the energy of the differences. Neither has a converter's
offset in it. Over the rumble of fans and traffic words stand out in the differences; over hiss,
which is mostly differences, in the energy. Logarithms to the base 2 have 8 fraction bits.

**Floors.** The levels of the room, with 16 fraction bits. Each falls by a quarter of the distance
to a softer frame, rises towards a louder one by a fixed step, and stays within bounds: below the
lower one nobody speaks, and in a room above the upper one every frame passes.

**Hold.** A frame with a level above its floor by the margin opens the gate, which stays open for
the hold time after the last such frame. After a reset it is open for `WARM_UP_S`, until the floors
are known.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..validation import require

if TYPE_CHECKING:
    from .frontend import FrontEndConfig

WARM_UP_S = 1.0
"""How long the gate is open after a reset."""

FLOOR_DBFS = (-85.0, -20.0)
"""Bounds of the floors; 0 is the level of samples, or of differences, of full scale."""

FALL_SHIFT = 2
"""A floor falls by the distance to a softer frame, divided by two to this power."""

LEVEL_BITS, FLOOR_BITS = 8, 16
"""Fraction bits of a level and of a floor."""

_DECIBELS = 10 * math.log10(2)  # of a doubling of the energy
_MARGIN_DB = (3.0, 30.0)
_HOLD_MS = (100, 10_000)
_RISE_DB_PER_S = (0.1, 20.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateConfig:
    """When audio is loud enough to process; the manifest's ``gate`` section.

    Raises
    ------
    ModelError
        A value is out of its range.
    """

    margin_db: float
    """How much louder than the room a frame must be, in 3..30 dB."""
    hold_ms: int
    """How long the gate stays open after such a frame, in 100..10,000 milliseconds."""
    rise_db_per_s: float
    """How fast the floors rise when the room gets louder, in 0.1..20 dB per second."""

    def __post_init__(self) -> None:
        for name, (least, most) in (
            ("margin_db", _MARGIN_DB),
            ("hold_ms", _HOLD_MS),
            ("rise_db_per_s", _RISE_DB_PER_S),
        ):
            value = getattr(self, name)
            must = f"be at least {least:g} and at most {most:g}"
            require(least <= value <= most, f"gate.{name}", value, must)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateTables:
    """The integers of a gate, for one front end; ``harken_gate`` of the C engine."""

    margin: int
    """Margin above a floor, `FLOOR_BITS` fraction bits."""
    rise: int
    """Rise of a floor per frame."""
    least: tuple[int, int]
    """Lower bounds of the floors: of the energy, of the differences. `most` are the upper ones."""
    most: tuple[int, int]
    hold: int
    """Hold time in frames, including the loud one; at most 65,535."""
    warm_up: int
    """Warm-up time in frames."""

    @classmethod
    def of(cls, config: GateConfig, front_end: FrontEndConfig) -> GateTables:
        """Compute the integers for a gate and a front end.

        Raises
        ------
        ModelError
            The hop is too short to have a level.
        """
        hop, rate_hz = front_end.hop_samples, front_end.sample_rate_hz
        require(hop >= 2, "front_end.hop_samples", hop, "be at least 2 for a gate")
        scale = 1 << FLOOR_BITS

        def doublings(decibels: float) -> int:
            return round(decibels / _DECIBELS * scale)

        def frames(seconds: float) -> int:
            return min(math.ceil(round(seconds * rate_hz / hop, 6)), 65_535)

        pairs = hop // 2
        energy, differences = (
            math.log2(count * 32_768.0**2) * _DECIBELS for count in (pairs * pairs, pairs)
        )
        least, most = (
            (doublings(energy + bound), doublings(differences + bound)) for bound in FLOOR_DBFS
        )
        return cls(
            margin=doublings(config.margin_db),
            rise=max(1, doublings(config.rise_db_per_s * hop / rate_hz)),
            least=least,
            most=most,
            hold=frames(config.hold_ms / 1000),
            warm_up=frames(WARM_UP_S),
        )


class Gate:
    """Decides, frame by frame, which frames pass.

    Parameters
    ----------
    config
        Margin, hold, rise.
    front_end
        The model's; the gate uses its hop and rate.
    """

    def __init__(self, config: GateConfig, front_end: FrontEndConfig) -> None:
        self.config = config
        self.tables = GateTables.of(config, front_end)
        self.reset()

    def reset(self) -> None:
        """Start anew: forget the level of the room."""
        self._floors = list(self.tables.most)
        self._left = self.tables.warm_up

    @property
    def floors(self) -> tuple[int, ...]:
        """Levels of the room, `FLOOR_BITS` fraction bits: of the energy, of the differences."""
        return tuple(self._floors)

    def feed(self, energies: Iterable[tuple[int, int]]) -> list[bool]:
        """Process frames, and return which of them pass.

        Parameters
        ----------
        energies
            A pair for each frame, as `frame_energies` returns them.
        """
        tables = self.tables
        heard = []
        for pair in energies:
            for index, energy in enumerate(pair):
                level = log2(energy) << (FLOOR_BITS - LEVEL_BITS)
                floor = self._floors[index]
                above = level - floor
                floor += above >> FALL_SHIFT if above < 0 else min(tables.rise, above)
                floor = min(max(floor, tables.least[index]), tables.most[index])
                self._floors[index] = floor
                if level - floor >= tables.margin:
                    self._left = max(self._left, tables.hold)
            heard.append(self._left > 0)
            self._left = max(self._left - 1, 0)
        return heard


def log2(energy: int) -> int:
    """Return the logarithm of an integer, `LEVEL_BITS` fraction bits; log2(0) counts as log2(1).

    Linear between the powers of two (Mitchell, 1962): too small by up to 0.26 dB.
    """
    exponent = max(energy.bit_length() - 1, 0)
    fraction = (energy << LEVEL_BITS >> exponent) & ((1 << LEVEL_BITS) - 1)
    return exponent << LEVEL_BITS | fraction


def frame_energies(samples: npt.NDArray[np.float64], hop_samples: int) -> list[tuple[int, int]]:
    """Return two energies of each hop.

    Parameters
    ----------
    samples
        (k * hop_samples,) float64 holding whole numbers in -32,768..32,767, so that sums are exact.

    Returns
    -------
    k times two integers, over the n pairs of samples in a hop: n times the sum of the squared first
    samples without their mean, and the sum of the squared differences.
    """
    pairs = hop_samples // 2
    hops = samples.reshape(-1, hop_samples)[:, : 2 * pairs].reshape(-1, pairs, 2)
    totals = hops[:, :, 0].sum(axis=1).tolist()
    products = (hops.transpose(0, 2, 1) @ hops).tolist()  # of the first and of the second samples
    return [
        (pairs * int(first) - int(total) ** 2, int(first + second - 2 * both))
        for total, ((first, both), (_, second)) in zip(totals, products, strict=True)
    ]
