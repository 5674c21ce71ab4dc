"""What a device has room for; training keeps to it, and exports check it."""

CELL_CLIP = 10.0
"""Where the cells of a network that is exported are clipped."""

WINDOW_SAMPLES = 512
"""Window of the C engine's front end."""

MEL_BANDS = (2, 128)
"""Fewest and most mel bands of the C engine."""

MOST_FRAMES = 255
"""Frames that a step of the C engine sees, or that lie between two, at most."""

MOST_WIDTH = 32_764
"""Values that a layer of the C engine takes in at most, those of its own state included."""

MOST_LABELS = 127
"""Labels of a model at most, "unknown" and "silence" included."""

MOST_SMOOTHING_STEPS = 15
"""Steps over which the C engine's detector takes the mean."""

MOST_REFRACTORY_MS = 3_600_000
"""Longest pause after an event."""

LEAST_THRESHOLD = 1e-5
"""Smallest threshold; the C engine has 24 bits for one."""

LEAST_STD = 0.1
"""Smallest standard deviation of a coefficient that the C engine's integers have room for."""

MOST_MEAN = 50.0
"""Largest mean of a coefficient, in standard deviations of it."""
