from __future__ import annotations

from pytest_arena import JobRecord
from pytest_arena.evaluation.summarize import summarize
from tests.jobs import make_job
from tests.unit.gate.samples import episode


def record() -> JobRecord:
    return JobRecord("job", 1, "0", "s", "e", "p", episodes={"requested": 0})


def test_what_a_simulator_reports_is_weighted_by_the_episodes_that_have_it() -> None:
    made = record()
    summarize(made, make_job(), [], reported=[(3, {"a": 1.0}), (1, {"a": 5.0}), (9, {})])
    assert made.metrics["a"] == 2.0


def test_a_simulators_own_success_rate_does_not_stand_for_the_measured_one() -> None:
    made = record()
    summarize(made, make_job(), [], reported=[(3, {"success_rate": 1.0})])
    assert made.metrics["success_rate"] is None


def test_a_number_that_a_simulator_could_not_compute_once_has_no_mean() -> None:
    made, reported = record(), [(3, {"a": 1.0, "b": None}), (1, {"a": None, "b": None})]
    summarize(made, make_job(thresholds={"a": ">= 0"}), [], reported=reported)
    assert (made.metrics["a"], made.metrics["b"]) == (None, None)
    assert made.unmeasured["a"] == "the simulator reported no finite value"
    assert (made.thresholds[0].passed, made.thresholds[0].reason) == (False, made.unmeasured["a"])


def test_a_number_over_some_of_the_episodes_is_none_of_the_job() -> None:
    made, episodes = record(), [episode(index, index % 2) for index in range(3)]
    summarize(made, make_job(), episodes, reported=[(2, {"a": 1.0})])
    assert made.metrics["a"] is None
    assert made.unmeasured["a"] == "the simulator computed it over 2 of 3 episodes"
