from __future__ import annotations

from typing import Any

from pytest_arena import JobRecord
from pytest_arena.evaluation.judge import judge
from tests.jobs import make_job
from tests.unit.gate.samples import episode


def record() -> JobRecord:
    return JobRecord("job", 1, "0", "s", "e", "p", episodes={"requested": 0})


def test_what_a_simulator_reports_is_weighted_by_the_episodes_that_have_it() -> None:
    judged = judge(make_job(), [], record(), reported=[(3, {"a": 1.0}), (1, {"a": 5.0}), (9, {})])
    assert judged.metrics["a"] == 2.0


def test_a_simulators_own_success_rate_does_not_stand_for_the_measured_one() -> None:
    judged = judge(make_job(), [], record(), reported=[(3, {"success_rate": 1.0})])
    assert judged.metrics["success_rate"] is None


def test_a_number_that_a_simulator_could_not_compute_once_has_no_mean() -> None:
    reported = [(3, {"a": 1.0, "b": None}), (1, {"a": None, "b": None})]
    judged = judge(make_job(thresholds={"a": ">= 0"}), [], record(), reported=reported)
    assert (judged.metrics["a"], judged.metrics["b"]) == (None, None)
    assert judged.unmeasured["a"] == "the simulator reported no finite value"
    assert (judged.thresholds[0].passed, judged.thresholds[0].reason) == (False, judged.unmeasured["a"])


def test_a_number_over_some_of_the_episodes_is_none_of_the_job() -> None:
    episodes = [episode(index, index % 2) for index in range(3)]
    judged = judge(make_job(), episodes, record(), reported=[(2, {"a": 1.0})])
    assert judged.metrics["a"] is None
    assert judged.unmeasured["a"] == "the simulator computed it over 2 of 3 episodes"


def first_steps(early: int, episodes: int, *, at_reset: bool | None = None, **about: Any) -> list[str]:
    """The notes on *episodes*, of which *early* have a success at their first step."""
    found = [
        episode(index, True, time_to_success=1 if index < early else 5, success_at_reset=at_reset)
        for index in range(episodes)
    ]
    job_record = record()
    job_record.identity = about
    return [note for note in judge(make_job(), found, job_record).notes if "first step" in note]


def test_successes_at_the_first_step_are_noted_where_they_are_many() -> None:
    """Fetch says nothing at reset: a random policy has a quarter of its successes there."""
    expected = (
        "success held after the first step in 10 of 40 episodes (0, 1, 2, 3, 4, …): they may have begun in it"
    )
    assert first_steps(10, 40) == [expected]
    assert first_steps(2, 40) == [], "chance alone gives a few"
    assert first_steps(1, 4) == []
    assert first_steps(40, 40, at_reset=True) == [], "it is told already"
    assert first_steps(40, 40, horizon=1) == [], "there is no other step"
