"""Limits of devices; training respects them, and exports check them."""

CELL_CLIP = 10.0
"""Bound on the cells of an exported network."""

WINDOW_SAMPLES = 512
"""Window of the C engine's front end."""

MEL_BANDS = (2, 128)
"""Minimum and maximum number of mel bands in the C engine."""

MOST_FRAMES = 255
"""Maximum context and stride of a step in the C engine, in frames."""

MOST_WIDTH = 32_764
"""Maximum number of inputs of a layer in the C engine, including its own state."""

MOST_LABELS = 127
"""Maximum number of labels, including "unknown" and "silence"."""

MOST_SMOOTHING_STEPS = 15
"""Maximum length of the moving average in the C engine's detector."""

MOST_REFRACTORY_MS = 3_600_000
"""Maximum refractory time after an event."""

LEAST_THRESHOLD = 1e-5
"""Minimum threshold; the C engine stores it in 24 bits."""

LEAST_STD = 0.1
"""Minimum standard deviation of a coefficient that fits the C engine's integers."""

MOST_MEAN = 50.0
"""Maximum mean of a coefficient, in units of its standard deviation."""
