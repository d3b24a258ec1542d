"""Percentiles of durations in little memory."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_arena.policies.times import Times, inference_record, merged_inference


def counted(seconds: list[float]) -> Times:
    times = Times()
    for value in seconds:
        times.add(value)
    return times


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 3.0])
def test_percentiles_are_right_to_one_bin(scale: float) -> None:
    values = np.random.default_rng(1).lognormal(size=5000) * scale
    times = counted(values.tolist())
    for share in (0.5, 0.95, 1.0):
        exact = np.quantile(values, share, method="inverted_cdf")
        assert exact <= (times.percentile(share) or 0) <= exact * 2 ** (1 / 32) * (1 + 1e-9)
    assert times.count == 5000
    assert len(times.to_json()["histogram"]) < 500


def test_nothing_has_no_percentile() -> None:
    assert Times().percentile(0.5) is None
    assert Times().to_json()["p95_ms"] is None


def test_survives_a_record() -> None:
    times = counted([0.001, 0.002, 0.5])
    again = Times.from_json(times.to_json())
    assert again.to_json() == times.to_json()
    assert Times.from_json({"histogram": "broken"}).count == 0


def test_two_rollouts_are_put_together() -> None:
    one = inference_record(counted([0.01] * 10), None, batch=2, step_dt=0.1)
    other = inference_record(counted([0.03] * 30), counted([0.2]), batch=2, step_dt=0.1)
    both = merged_inference([{}, one, other])
    assert (both["act"]["count"], both["requests"]["count"], both["batch"]) == (40, 1, 2)
    assert both["act"]["p95_ms"] == pytest.approx(30, rel=0.03)
    assert one["real_time_factor"] == pytest.approx(10)
    assert both["real_time_factor"] == other["real_time_factor"] == pytest.approx(3.333)
    assert merged_inference([{}]) == {}
