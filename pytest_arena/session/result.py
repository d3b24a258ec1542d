"""What a test holds of its job after the rollout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_arena.comparison.describe import describe_comparison, failed_comparison
from pytest_arena.evaluation.verdict import outcome_of_test
from pytest_arena.gate.describe import describe_rate_test, describe_threshold
from pytest_arena.records.schema import Episode, JobRecord, Outcome, Verdict


@dataclass
class Result:
    """The outcome of ``arena_rollout()``."""

    record: JobRecord
    episodes: list[Episode]
    run_dir: Path
    asserted: bool = field(default=False, init=False)
    """Whether the test has asserted the thresholds."""

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """Metric → value; None where it could not be measured."""
        return self.record.metrics

    @property
    def verdict(self) -> Verdict:
        """What the thresholds say."""
        return self.record.verdict

    def assert_thresholds(self) -> None:
        """Raise AssertionError with everything worth knowing unless every threshold of the job holds.

        So does a comparison with a baseline that fails. Where nothing failed and a gate, or a comparison, is
        inconclusive, the job's ``gate.inconclusive``, or ``regression.inconclusive``, says what that means:
        ``fail`` does the same, ``xfail`` is pytest's xfail, ``pass`` returns.
        """
        __tracebackhide__ = True
        self.asserted = True
        found = outcome_of_test(self.record)
        if found == "xfail":
            # Not `pytest.xfail`, which --runxfail makes do nothing: that would be a pass.
            raise pytest.xfail.Exception("\n".join(self._undecided()))
        if found == "fail":
            raise AssertionError("\n".join(self._explain()))

    def _explain(self) -> Iterator[str]:
        record = self.record
        missed = [threshold for threshold in record.thresholds if not threshold.passed]
        kinds = "inconclusive" if self.verdict is Verdict.INCONCLUSIVE else "failed"
        if kinds == "failed" and any(t.verdict is Verdict.INCONCLUSIVE for t in missed):
            kinds = "failed or inconclusive"
        found = f"{len(missed)} of {len(record.thresholds)} thresholds {kinds}"
        compared = record.comparison
        if compared is not None and compared.failed:
            found = failed_comparison(compared) + (f", {found}" if missed else "")
        yield f"job {record.job!r}: {found} over {record.episodes['measured']} episodes"
        tests = {test.metric: test for test in record.gate.tests} if record.gate is not None else {}
        for threshold in record.thresholds:
            yield f"  {describe_threshold(threshold, fixed=record.fixed)}"
            if record.gate is not None and threshold.metric in tests:
                yield f"    {describe_rate_test(record.gate, tests[threshold.metric])}"
        if compared is not None:
            yield f"  {describe_comparison(compared)}"
        yield from self._explain_episodes()
        yield f"  record: {self.run_dir / str(record.record_path)}"

    def _undecided(self) -> Iterator[str]:
        gate = self.record.gate
        if gate is not None:
            yield from (
                describe_rate_test(gate, test) for test in gate.tests if test.verdict is Verdict.INCONCLUSIVE
            )
        compared = self.record.comparison
        if compared is not None and compared.xfailed:
            yield describe_comparison(compared)

    def _explain_episodes(self, at_most: int = 8) -> Iterator[str]:
        missed = [e for e in self.episodes if e.outcome != Outcome.SUCCESS]
        missed.sort(key=lambda episode: episode.episode)
        if not missed:
            return
        kinds = "failed episodes" if all(e.outcome == Outcome.FAILURE for e in missed) else "episodes"
        yield f"  {kinds}: {len(missed)} of {len(self.episodes)}"
        for episode in missed[:at_most]:
            line = (
                f"    episode {episode.episode}: {episode.outcome}, seed {episode.seed}, "
                f"{episode.end_reason} after {episode.length} steps, return {episode.return_:.4g}"
            )
            yield line
            for path in episode.videos.values():
                yield f"      {self.run_dir / path}"
        if len(missed) > at_most:
            yield f"    … and {len(missed) - at_most} more in {self.run_dir / str(self.record.episodes_path)}"
