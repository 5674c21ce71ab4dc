"""Confidence intervals, against published values and their own definition."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="training needs harken[train]")

from scipy import stats

from harken.train.intervals import rate_bound, rate_interval, share_interval

# Of shares


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17, table I: the score method
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_shares_have_the_published_intervals(count, total, low, high):
    assert share_interval(count, total) == pytest.approx((low, high), abs=5e-5)


@given(total=st.integers(1, 10_000), data=st.data())
def test_an_interval_of_a_share_holds_it_and_stays_within_0_and_1(total, data):
    count = data.draw(st.integers(0, total))
    low, high = share_interval(count, total)
    assert 0 <= low <= count / total <= high <= 1
    assert low < high


def test_none_of_none_is_no_share():
    assert share_interval(0, 0) is None


# Of rates


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [  # Garwood 1936, Biometrika 28, table 1
        (0, 0.0, 3.689),
        (1, 0.0253, 5.572),
        (5, 1.623, 11.668),
        (10, 4.795, 18.390),
        (30, 20.241, 42.827),
    ],
)
def test_rates_have_the_published_intervals(count, low, high):
    assert rate_interval(count, 1.0) == pytest.approx((low, high), abs=6e-4)


@given(count=st.integers(0, 500), hours=st.floats(0.01, 1000))
def test_at_the_bounds_so_many_events_are_as_rare_as_they_may_be(count, hours):
    low, high = rate_interval(count, hours)
    assert low <= count / hours < high
    assert stats.poisson.cdf(count, high * hours) == pytest.approx(0.025, rel=1e-6)
    if count:
        assert stats.poisson.sf(count - 1, low * hours) == pytest.approx(0.025, rel=1e-6)


def test_hours_without_an_event_bound_the_rate_by_the_rule_of_three():
    assert rate_bound(10.0) == pytest.approx(0.29957, rel=1e-4)
    assert math.exp(-rate_bound(10.0) * 10.0) == pytest.approx(0.05)


def test_no_time_has_no_rate():
    assert rate_interval(0, 0.0) is None
    assert rate_bound(0.0) is None
