"""What may differ between a run and the session that goes on with it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_arena import Job
from pytest_arena.session.resumed_jobs import _differing, _extends
from tests.jobs import make_job


def sequential(budget: int, seeds: Any, method: str = "e_process") -> Job:
    return make_job(
        environment={"id": "CartPole-v1", "seeds": seeds},
        thresholds={"success_rate": ">= 0.5"},
        gate={"episodes_max": budget, "method": method},
    )


@pytest.mark.parametrize(
    ("begun", "longer", "extends"),
    [
        ([1, 2, 3], [1, 2, 3, 4], True),
        ([1, 2, 3], [1, 2, 9, 4], False),
        ({"start": 7}, {"start": 7}, True),
        ({"start": 7}, {"start": 8}, False),
        (None, None, True),
        (None, [1, 2, 3, 4], False),
    ],
)
def test_a_larger_budget_has_the_seeds_that_were_begun_with(begun: Any, longer: Any, extends: bool) -> None:
    assert _extends(sequential(3, begun).config(), sequential(4, longer)) is extends


def test_keys_that_an_earlier_version_did_not_know_are_no_difference() -> None:
    now = make_job().config()
    before = {key: value for key, value in now.items() if key != "metrics"}
    before["environment"] = {key: value for key, value in now["environment"].items() if key != "seeds"}
    assert list(_differing(before, now)) == []
    told = make_job(metrics={"best": {"info": "covered"}}).config()
    assert list(_differing(before, told)) == ["metrics"]
