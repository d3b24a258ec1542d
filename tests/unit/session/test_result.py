"""A threshold in words."""

from __future__ import annotations

from pytest_arena import ThresholdResult
from pytest_arena.gate.describe import describe_threshold
from pytest_arena.records.schema import GateRecord


def test_only_an_interval_of_95_percent_is_called_so() -> None:
    """Where a gate may stop the job, or the job may be extended, each end has the confidence of the gate."""
    found = ThresholdResult("success_rate", "0.2..0.9", 0.8, True, (0.7, 0.88))
    assert (
        describe_threshold(found) == "✓ success_rate = 0.8 (95% interval 0.700 to 0.880), expected 0.2..0.9"
    )
    assert (
        describe_threshold(found, fixed=False)
        == "✓ success_rate = 0.8 (interval 0.700 to 0.880), expected 0.2..0.9"
    )


def test_a_value_that_holds_nothing_is_said_to() -> None:
    """The episodes of a process that died meet the threshold, and do not hold it."""
    reason = "the evaluation did not complete"
    found = ThresholdResult("success_rate", ">= 0.8", 1.0, False, (0.51, 1.0), undecided=True, reason=reason)
    assert (
        describe_threshold(found)
        == "✗ success_rate = 1 (95% interval 0.510 to 1.000), expected >= 0.8; the evaluation did not complete"
    )


def test_which_gates_fix_the_number_of_episodes() -> None:
    def gate(method: str, stop_early: bool) -> GateRecord:
        return GateRecord(method, 100, 10, stop_early, "fail", [])

    assert gate("spending", False).fixed
    assert not gate("spending", True).fixed
    assert not gate("e_process", False).fixed
