"""Counts in, 95 % confidence intervals out: of shares, and of rates.

Both hold for few counts, too, where the normal distribution would leave the possible range.
"""

from __future__ import annotations

import math

CONFIDENCE = 0.95
"""How often an interval of this module holds the true value."""

_Z = 1.959964  # two-sided 95 % of the normal distribution


def share_interval(count: int, total: int) -> tuple[float, float] | None:
    """Bound a share by Wilson's score interval (1927), which stays within 0..1.

    Parameters
    ----------
    count
        How many of them.
    total
        Among how many.

    Returns
    -------
    Lower and upper bound of the share; None without any.
    """
    if not total:
        return None
    share, z2 = count / total, _Z**2
    centre = share + z2 / (2 * total)
    spread = _Z * math.sqrt((share * (1 - share) + z2 / (4 * total)) / total)
    scale = 1 + z2 / total
    # At 0 and 1 the bound is the share itself, but for rounding.
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return max(0.0, min(low, share)), min(1.0, max(high, share))


def rate_interval(count: int, hours: float) -> tuple[float, float] | None:
    """Bound the rate of events that happen at random by Garwood's exact interval (1936).

    Parameters
    ----------
    count
        How many there were.
    hours
        In how long.

    Returns
    -------
    Lower and upper bound in events an hour; None without any time. Without an event the lower one
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
    """Return the rate that no event in so many hours excludes with 95 %: the rule of three.

    Returns
    -------
    Events an hour, ``-ln(0.05) / hours``, which is about ``3 / hours``; None without any time.
    """
    return -math.log(1 - CONFIDENCE) / hours if hours > 0 else None
