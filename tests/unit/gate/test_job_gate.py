"""A job's gate reads outcomes in episode order, whatever order they come in."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena import Episode, Verdict
from pytest_arena.gate.intervals import anytime_interval
from pytest_arena.gate.job_gate import JobGate
from pytest_arena.rollout.metrics import RecordedMetric
from tests.jobs import make_job

GATE = {"episodes_max": 100}


def episode(index: int, outcome: str = "success", **more: Any) -> Episode:
    good = {"success": True, "failure": False}.get(outcome)
    line = {
        "job": "job", "attempt": 1, "rebuild": 0, "episode": index, "seed": index, "env_idx": 0,
        "start_step": 0, "end_step": 0, "length": 1, "outcome": outcome, "success_once": good,
        "success_at_end": good, "success_at_reset": None, "return": 0.0, "end_reason": "", "started_at": "",
        "wall_time_seconds": 0.0,
    }  # fmt: skip
    return Episode.from_json({**line, **more})


def gate_of(text: str = ">= 0.8", **gate: Any) -> JobGate:
    made = JobGate.of(make_job(thresholds={"success_rate": text}, gate={**GATE, **gate}))
    assert made is not None
    return made


def play(gate: JobGate, outcomes: list[str]) -> Verdict:
    for index, outcome in enumerate(outcomes):
        gate.add(episode(index, outcome))
    return gate.record.tests[0].verdict


def test_without_a_gate_there_is_none() -> None:
    assert JobGate.of(make_job(thresholds={"success_rate": ">= 0.8"})) is None


def test_pass_as_soon_as_a_look_says_so() -> None:
    gate = gate_of()
    assert play(gate, ["success"] * 29) is Verdict.NONE
    assert not gate.done
    gate.add(episode(29))
    (test,) = gate.record.tests
    assert (test.verdict, gate.done, gate.record.counted) == (Verdict.PASS, True, 30)
    assert [(look.episodes, look.successes, look.verdict) for look in test.path] == [
        (10, 10, "none"),
        (20, 20, "none"),
        (30, 30, "pass"),
    ]


def test_fail() -> None:
    gate = gate_of()
    assert play(gate, ["success"] * 3 + ["failure"] * 7) is Verdict.FAIL
    assert gate.record.counted == 10


def test_inconclusive_after_the_whole_budget() -> None:
    gate = gate_of()
    assert play(gate, (["success"] * 8 + ["failure"] * 2) * 10) is Verdict.INCONCLUSIVE
    assert (gate.done, gate.record.counted) == (True, 100)
    assert len(gate.record.tests[0].path) == 10


def test_at_most() -> None:
    assert play(gate_of("<= 0.2"), ["failure"] * 29 + ["success"]) is Verdict.PASS
    assert play(gate_of("<= 0.2"), ["failure"] * 3 + ["success"] * 7) is Verdict.FAIL


@pytest.mark.parametrize("text", [">= 0.8", "<= 0.2"])
def test_errors_count_against_either_verdict(text: str) -> None:
    good, bad = ("success", "failure") if text == ">= 0.8" else ("failure", "success")
    assert play(gate_of(text), [good] * 29 + [bad]) is Verdict.PASS
    assert play(gate_of(text), [good] * 29 + ["error"]) is Verdict.PASS
    assert play(gate_of(text), [good] * 28 + ["error"] * 2) is Verdict.NONE
    assert play(gate_of(text), [good] * 3 + [bad] * 7) is Verdict.FAIL
    assert play(gate_of(text), [good] * 3 + [bad] * 6 + ["error"]) is Verdict.NONE
    assert play(gate_of(text), [good] * 2 + [bad] * 7 + ["error"]) is Verdict.FAIL


def test_what_is_unmeasured_ends_the_rollout_without_a_verdict() -> None:
    gate = gate_of()
    assert play(gate, ["success"] * 5 + ["unknown"] + ["success"] * 4) is Verdict.ERROR
    assert (gate.done, gate.record.counted) == (True, 10)


def test_nothing_is_read_beyond_a_hole() -> None:
    gate = gate_of()
    for index in range(1, 100):
        gate.add(episode(index))
    assert not gate.record.tests[0].path
    assert not gate.done
    gate.add(episode(0, "failure"))
    assert (gate.record.tests[0].verdict, gate.record.counted) == (Verdict.PASS, 30)


@given(
    st.permutations(range(60)),
    st.lists(st.sampled_from(["success", "failure", "error"]), min_size=60, max_size=60),
)
def test_the_order_of_arrival_does_not_matter(order: list[int], outcomes: list[str]) -> None:
    in_order, shuffled = gate_of(episodes_max=60), gate_of(episodes_max=60)
    play(in_order, outcomes)
    for index in order:
        shuffled.add(episode(index, outcomes[index]))
    assert asdict(shuffled.record) == asdict(in_order.record)


def test_several_thresholds_stop_when_each_is_decided() -> None:
    job = make_job(
        thresholds={"success_rate": ">= 0.5", "success_at_end_rate": "<= 0.6", "episode_length": "< 9"},
        gate=GATE,
    )
    gate = JobGate.of(job)
    assert gate is not None
    for index in range(100):
        gate.add(episode(index, success_at_end=index % 3 == 0))
    once, at_end = gate.record.tests
    assert (once.verdict, once.path[-1].episodes) == (Verdict.PASS, 10)
    assert (at_end.verdict, at_end.path[-1].episodes) == (Verdict.PASS, gate.record.counted)
    assert 10 < (gate.record.counted or 0) < 100


def test_without_early_stop_the_first_verdict_stands() -> None:
    gate = gate_of(stop_early=False)
    assert play(gate, ["success"] * 30 + ["failure"] * 69) is Verdict.PASS
    assert not gate.done
    gate.add(episode(99, "failure"))
    assert (gate.done, gate.record.counted) == (True, 100)
    assert len(gate.record.tests[0].path) == 3


def test_a_rate_of_ones_own() -> None:
    fell = RecordedMetric("fell", {"reduction": "rate"})
    other = RecordedMetric("speed", {"reduction": "max"})
    job = make_job(thresholds={"fell": "<= 5%", "speed": "< 2", "success_rate": "0.2..0.4"}, gate=GATE)
    gate = JobGate.of(job, [fell, other])
    assert gate is not None
    assert [test.metric for test in gate.record.tests] == ["fell"]
    for index in range(100):
        gate.add(episode(index, metrics={"fell": 0.0, "speed": 1.0}))
    assert gate.record.tests[0].verdict is Verdict.PASS


def test_the_e_process_goes_on_where_a_smaller_budget_ended() -> None:
    outcomes = (["success"] * 9 + ["failure"]) * 20
    small, large = gate_of(method="e_process"), gate_of(method="e_process", episodes_max=200)
    assert play(small, outcomes[:100]) is Verdict.INCONCLUSIVE
    assert play(large, outcomes) is Verdict.PASS
    before, after = small.record.tests[0].path, large.record.tests[0].path
    assert [asdict(look) for look in after[:9]] == [asdict(look) for look in before[:9]]


def test_intervals() -> None:
    counts = {"success_rate": (30, 30), "success_at_end_rate": (30, 30)}
    gate = gate_of()
    play(gate, ["success"] * 30)
    found = gate.intervals(counts)
    assert found["success_rate"][0] > 0.8  # it passed
    assert found["success_at_end_rate"][0] < found["success_rate"][0] + 0.05
    fixed = gate_of(stop_early=False)
    assert fixed.intervals(counts)["success_rate"] == pytest.approx((0.8865, 1.0), abs=1e-4)  # Wilson


def test_a_run_that_may_be_extended_has_limits_that_hold_at_any_time() -> None:
    """Without an early stop, too: whether it is extended depends on what came out."""
    counts = {"success_rate": (90, 100)}
    found = gate_of(method="e_process", stop_early=False).intervals(counts)
    assert found == gate_of(method="e_process").intervals(counts)
    assert found["success_rate"] == anytime_interval(90, 100, 0.05, 0.05)
