"""A seed in, simulated rooms and their impulse responses out.

The method is image sources [1]_, with walls that absorb more at high frequencies than at low ones,
as plaster, carpets and curtains do.

References
----------
.. [1] J. B. Allen and D. A. Berkley, "Image method for efficiently simulating small-room
   acoustics", J. Acoust. Soc. Am. 65 (1979).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...edge.errors import DependencyError

if TYPE_CHECKING:
    from types import ModuleType

RATE_HZ = 16_000
SMALLEST_M = (2.0, 2.0, 2.2)
LARGEST_M = (10.0, 8.0, 4.0)
"""Length, width and height of rooms lie between these two."""
RT60_S = (0.15, 0.9)
DISTANCE_M = (0.3, 5.0)
"""Range of distances from the source to the microphone."""
LONGEST_S = 0.6
LEAD = 16
"""Samples, 1 ms, before the direct sound arrives."""

_SPEED_M_S = 343.0
_FROM_WALL_M = 0.2
_FLOOR_DB = -60.0
_BANDS_HZ = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0)
_LEAST_ABSORPTION = 0.05  # of a bathroom; less would need too many images to compute
_PEAK = 0.9
_DRAWS = 1000
_MOST_ORDERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A box-shaped room with a talker and a microphone.

    Attributes
    ----------
    size_m
        Length, width, height.
    rt60_s
        Time for the sound to decay by 60 dB, by Sabine's formula, at 1 kHz.
    absorption
        Share of the energy that the walls absorb at 1 kHz, 0 to 1.
    tilt
        Power of two by which it grows per octave.
    source_m, microphone_m
        Their positions.
    distance_m
        Between the two.
    """

    size_m: tuple[float, float, float]
    rt60_s: float
    absorption: float
    tilt: float
    source_m: tuple[float, float, float]
    microphone_m: tuple[float, float, float]
    distance_m: float


def draw_room(rng: np.random.Generator) -> Room:
    """Draw a room; sizes that cannot have the reverberation time are drawn again.

    Parameters
    ----------
    rng
        The random generator.
    """
    for _ in range(_DRAWS):
        size = rng.uniform(SMALLEST_M, LARGEST_M)
        rt60_s = float(rng.uniform(*RT60_S))
        tilt = float(rng.uniform(0.0, 0.35))
        absorption = _sabine_absorption(size, rt60_s)
        places = rng.uniform(_FROM_WALL_M, size - _FROM_WALL_M, (2, 3))
        distance_m = float(np.linalg.norm(places[0] - places[1]))
        # Uniform positions are mostly far apart; people often speak to a device from nearby.
        wanted_m = float(np.exp(rng.uniform(*np.log(DISTANCE_M))))
        source = places[1] + (places[0] - places[1]) * min(1.0, wanted_m / distance_m)
        distance_m = min(wanted_m, distance_m)
        fits = DISTANCE_M[0] <= distance_m <= DISTANCE_M[1]
        if fits and _LEAST_ABSORPTION <= absorption <= 1.0:
            return Room(
                size_m=_rounded(size),
                rt60_s=round(rt60_s, 3),
                absorption=round(absorption, 4),
                tilt=round(tilt, 3),
                source_m=_rounded(source),
                microphone_m=_rounded(places[1]),
                distance_m=round(distance_m, 3),
            )
    raise AssertionError("more than one room in a thousand of these sizes is possible")


def simulate(room: Room) -> NDArray[np.int16]:
    """Return a room's impulse response.

    Parameters
    ----------
    room
        The room.

    Returns
    -------
    numpy.ndarray
        int16, shape (samples,), at 16 kHz, peak at 0.9 of full scale. The direct sound arrives
        after `LEAD` samples; the response ends where the rest holds less than a millionth of the
        energy (-60 dB), at the latest after `LONGEST_S`.

    Raises
    ------
    DependencyError
        pyroomacoustics is not installed.
    """
    acoustics = require_pyroomacoustics()
    octaves = np.arange(len(_BANDS_HZ)) - _BANDS_HZ.index(1000.0)
    absorption = np.clip(room.absorption * 2.0 ** (room.tilt * octaves), 0.02, 1.0)
    material = acoustics.Material(
        {
            "description": "wall",
            "coeffs": absorption.tolist(),
            "center_freqs": list(_BANDS_HZ),
        }
    )
    box = acoustics.ShoeBox(
        room.size_m,
        fs=RATE_HZ,
        materials=material,
        max_order=_orders(room),
        air_absorption=True,
    )
    box.add_source(room.source_m)
    box.add_microphone(room.microphone_m)
    box.compute_rir()
    return _trimmed(np.asarray(box.rir[0][0], np.float64), room.distance_m, acoustics)


def reverberation_s(response: NDArray[np.int16]) -> float:
    """Return the time for a response to decay by 60 dB, from its decay from -5 to -25 dB.

    Parameters
    ----------
    response
        Shape (samples,), int16, at 16 kHz.
    """
    left = np.cumsum(np.square(response.astype(np.float64))[::-1])[::-1]
    first, last = (np.count_nonzero(left >= left[0] * 10 ** (db / 10)) for db in (-5, -25))
    return float(last - first) * 3 / RATE_HZ


def require_pyroomacoustics() -> Any:
    """Return the package; raises `DependencyError`, which says what to install."""
    try:
        import pyroomacoustics
    except ImportError:
        raise DependencyError(
            "simulated rooms need pyroomacoustics; install with `pip install 'harken[rooms]'`"
        ) from None
    acoustics: ModuleType = pyroomacoustics
    # The sum over images must not depend on the number of threads.
    acoustics.constants.set("num_threads", 1)
    return acoustics


def _orders(room: Room) -> int:
    """Return the number of reflections before the response ends."""
    seconds = min(room.rt60_s, LONGEST_S)
    return min(_MOST_ORDERS, math.ceil(_SPEED_M_S * seconds / min(room.size_m)))


def _trimmed(response: NDArray[np.float64], distance_m: float, acoustics: Any) -> NDArray[np.int16]:
    """Cut a response to its audible part, and normalize its peak."""
    late = int(acoustics.constants.get("frac_delay_length")) // 2
    direct = round(distance_m / _SPEED_M_S * RATE_HZ) + late
    response = response[max(0, direct - LEAD) :][: round(LONGEST_S * RATE_HZ)]
    left = np.cumsum(np.square(response)[::-1])[::-1]
    heard = int(np.count_nonzero(left >= left[0] * 10 ** (_FLOOR_DB / 10)))
    response = response[:heard].copy()
    fade = min(len(response) // 4, RATE_HZ // 100)
    response[len(response) - fade :] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fade + 1) / fade)
    response *= _PEAK / np.abs(response).max()
    return np.rint(response * 32767).astype(np.int16)


def _sabine_absorption(size: NDArray[np.float64], rt60_s: float) -> float:
    """Return the share of the energy that all walls must absorb, by Sabine's formula."""
    length, width, height = (float(side) for side in size)
    surface = 2 * (length * width + length * height + width * height)
    return 24 * math.log(10) / _SPEED_M_S * length * width * height / surface / rt60_s


def _rounded(place: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 3) for value in place)
    return x, y, z
