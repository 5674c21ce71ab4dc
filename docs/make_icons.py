"""Draw the icons of the page for browsers: ``python docs/make_icons.py``.

An h whose arch is sound that spreads. All of it lies within the circle that a phone may cut out.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from harken.edge.files import write_atomic

FOLDER = Path(__file__).parents[1] / "edge" / "device" / "web" / "page"
SIZES = (192, 512)
COLOURS = 4  # of a PNG: flat ones, and a few between them at the edges

# In units of which the icon is 64 wide.
GROUND, STEM, FAR = "#0a6b5c", "#ffffff", "#8fe3d1"
STROKE = 6.0
LEFT, TOP, BOTTOM = 19.0, 14.0, 50.0
CENTRE = 41.0  # height of the arches' centre, which is on the stem
ARCHES = ((13.0, STEM), (26.0, FAR))


def main() -> None:
    write_atomic(FOLDER / "icon.svg", svg())
    for size in SIZES:
        write_atomic(FOLDER / f"icon-{size}.png", png(size))


def svg() -> str:
    """Return the icon as SVG."""
    arches = "".join(
        f'    <path d="M{LEFT:g} {CENTRE - radius:g}a{radius:g} {radius:g} 0 0 1 {radius:g} '
        f'{radius:g}V{BOTTOM:g}" stroke="{colour}"/>\n'
        for radius, colour in reversed(ARCHES)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">\n'
        f'  <path d="M0 0h64v64H0z" fill="{GROUND}"/>\n'
        f'  <g fill="none" stroke-width="{STROKE:g}" stroke-linecap="round">\n{arches}'
        f'    <path d="M{LEFT:g} {TOP:g}V{BOTTOM:g}" stroke="{STEM}"/>\n  </g>\n</svg>\n'
    )


def png(size: int) -> bytes:
    """Return the icon as PNG, so many pixels wide."""
    place = (np.arange(size) + 0.5) * 64 / size
    x, y = np.meshgrid(place, place)
    picture = np.tile(_rgb(GROUND), (size, size, 1))
    shapes = [(_arch(x, y, radius), colour) for radius, colour in reversed(ARCHES)]
    for distance, colour in (*shapes, (_upright(x, y, LEFT, TOP), STEM)):
        covered = np.clip((STROKE / 2 - distance) * size / 64 + 0.5, 0, 1)[..., np.newaxis]
        picture += covered * (_rgb(colour) - picture)
    image = Image.fromarray(np.rint(picture).astype(np.uint8)).quantize(COLOURS)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


Grid = npt.NDArray[np.float64]


def _upright(x: Grid, y: Grid, left: float, top: float) -> Grid:
    """Return the distance from an upright line that ends at the bottom."""
    return np.hypot(x - left, y - np.clip(y, top, BOTTOM))


def _arch(x: Grid, y: Grid, radius: float) -> Grid:
    """Return the distance from a quarter of a circle and the line that goes on from it."""
    right, up = x - LEFT, CENTRE - y
    quarter = np.where((right >= 0) & (up >= 0), np.abs(np.hypot(right, up) - radius), np.inf)
    return np.minimum(quarter, _upright(x, y, LEFT + radius, CENTRE))


def _rgb(colour: str) -> Grid:
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)], np.float64)


if __name__ == "__main__":
    main()
