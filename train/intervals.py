"""Counts in, 95 % confidence intervals out: of shares, and of rates.

Both are valid for small counts, too, where the normal distribution would leave the possible range.
"""

from __future__ import annotations

import math

CONFIDENCE = 0.95
"""Probability that an interval of this module covers the true value."""

_Z = 1.959964  # two-sided 95 % of the normal distribution


def share_interval(count: int, total: int) -> tuple[float, float] | None:
    """Bound a share by Wilson's score interval (1927), which stays within 0..1.

    Parameters
    ----------
    count
        Number of hits.
    total
        Number of trials.

    Returns
    -------
    Lower and upper bound of the share; None if there are none.
    """
    if not total:
        return None
    share, z2 = count / total, _Z**2
    centre = share + z2 / (2 * total)
    spread = _Z * math.sqrt((share * (1 - share) + z2 / (4 * total)) / total)
    scale = 1 + z2 / total
    # At 0 and 1 the bound is the share itself, except for rounding.
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return max(0.0, min(low, share)), min(1.0, max(high, share))


def rate_interval(count: int, hours: float) -> tuple[float, float] | None:
    """Bound the rate of events that happen at random by Garwood's exact interval (1936).

    Parameters
    ----------
    count
        Number of events.
    hours
        Observation time in hours.

    Returns
    -------
    Lower and upper bound in events per hour; None if there is no time. Without events the lower one
    is 0.
    """
    if hours <= 0:
        return None
    from scipy.special import gammaincinv

    tail = (1 - CONFIDENCE) / 2
    low = float(gammaincinv(count, tail)) if count else 0.0
    high = float(gammaincinv(count + 1, 1 - tail))
    return low / hours, high / hours


def rate_bound(hours: float) -> float | None:
    """Return the upper 95 % bound of the rate if no event came in so many hours: the rule of three.

    Returns
    -------
    Events per hour, ``-ln(0.05) / hours``, about ``3 / hours``; None if there is no time.
    """
    return -math.log(1 - CONFIDENCE) / hours if hours > 0 else None
