"""All that was found in comparing runs that exist already: for the terminal, as JSON, and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_arena.comparison.baseline import BaselineJob
from pytest_arena.comparison.differences import Difference, run_differences
from pytest_arena.comparison.family_error import FamilyError
from pytest_arena.comparison.multiple_comparisons import judge_comparisons
from pytest_arena.comparison.named_runs import NamedRun, lacking, require_metric, shared_jobs
from pytest_arena.comparison.ranked_jobs import rank_jobs
from pytest_arena.comparison.ranking import JobRanking, Ranking
from pytest_arena.comparison.two_runs import compare_job
from pytest_arena.records.schema import Comparison, ComparisonVerdict
from pytest_arena.records.to_plain import to_plain

REGRESSION, UNDECIDED = 1, 2
"""Exit statuses beside 0 and that of a wrong command line."""
GOOD = (ComparisonVerdict.NON_INFERIOR, ComparisonVerdict.IMPROVED)


@dataclass(frozen=True)
class ComparedRuns:
    """Two runs or more, and what was found."""

    runs: Sequence[NamedRun]
    jobs: Mapping[str, Mapping[str, BaselineJob]]
    """Label -> name of a run -> job, of those that at least two runs have."""
    differences: Sequence[Difference]
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    """Of two runs: label -> the second one against the first one."""
    judged: Mapping[str, Any] | None = None
    """What `judge_comparisons` says of all of these; None where each has its own error rate."""
    ranking: Ranking | None = None
    """Of more than two runs."""
    not_ranked: Mapping[str, str] = field(default_factory=dict)
    """Label -> why the runs of this job are not in the ranking."""

    def only(self) -> dict[str, list[str]]:
        """Return name of a run -> its jobs that no other one has."""
        return {
            run.name: lacking(run, [other for other in self.runs if other is not run]) for run in self.runs
        }

    def worse(self) -> list[str]:
        """Return the jobs that are worse in the second run, each by itself."""
        return [label for label, c in self.comparisons.items() if c.verdict == ComparisonVerdict.REGRESSION]

    def status(self) -> int:
        """Return the exit status: of a ranking 0 where every job has one of all runs."""
        if self.ranking is not None:
            lost = any(self.only().values())
            left_out = any(job.left_out for job in self.ranking.jobs.values())
            return UNDECIDED if lost or left_out or self.not_ranked else 0
        held = self.worse()
        if self.judged is not None:
            held = [label for label in held if self.judged["comparisons"][label]["rejected"]]
        if held:
            return REGRESSION
        lost = bool(self.only()[self.runs[0].name])
        return UNDECIDED if lost or any(c.verdict not in GOOD for c in self.comparisons.values()) else 0

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON."""
        found: dict[str, Any] = {
            "runs": {
                run.name: {"path": str(run.baseline.path), "job": run.job, "only": self.only()[run.name]}
                for run in self.runs
            },
            "differences": [
                {
                    "part": one.part,
                    "key": one.key,
                    "values": dict(zip((run.name for run in self.runs), one.values, strict=True)),
                    "jobs": list(one.jobs or self.jobs),
                }
                for one in self.differences
            ],
            "exit_status": self.status(),
        }
        if self.ranking is None:
            found["comparisons"] = {
                label: asdict(comparison) for label, comparison in self.comparisons.items()
            }
            found["family"] = self.judged
        else:
            found["family"] = {**asdict(self.ranking.allowed), "pairs": self.ranking.pairs}
            found["error_rate"] = self.ranking.error_rate()
            found["rankings"] = {label: _ranking_json(job) for label, job in self.ranking.jobs.items()}
            found["not_ranked"] = self.not_ranked
        plain: dict[str, Any] = to_plain(found)
        return plain


def _ranking_json(job: JobRanking) -> dict[str, Any]:
    data = asdict(job)
    rule = data.pop("rule")
    return {
        "metric": rule["metric"],
        "direction": "higher" if rule["higher_is_better"] else "lower",
        "rate": rule["rate"],
        "confidence": rule["confidence"],
        **data,
    }


def compare_two(
    runs: Sequence[NamedRun], asked: Mapping[str, object], allowed: FamilyError | None
) -> ComparedRuns:
    """Compare the second of two *runs* with the first one, job by job.

    Args:
        runs: Two.
        asked: Keys of a ``regression`` that take the place of the jobs' own.
        allowed: The error rate of all comparisons together; None: each has its own.

    Returns:
        What was found.

    Raises:
        BaselineError: What was asked for does not suit, the runs share no job, or files are not what was
            written.
    """
    shared = _shared(runs, asked)
    before, after = (run.name for run in runs)
    found = {label: compare_job(label, sides[before], sides[after], asked) for label, sides in shared.items()}
    judged = None
    if allowed is not None:
        judged = judge_comparisons(found, allowed)
        for label, alone in judged["comparisons"].items():
            found[label].family = {**alone, "size": len(judged["comparisons"])}
    return ComparedRuns(runs, shared, run_differences(runs, shared), found, judged)


def rank_runs(runs: Sequence[NamedRun], asked: Mapping[str, object], allowed: FamilyError) -> ComparedRuns:
    """Rank more than two *runs*, job by job.

    Args:
        runs: Three or more; none of them is the baseline.
        asked: Keys of a ``regression`` that take the place of the jobs' own.
        allowed: The error rate of all pairs of all jobs together.

    Returns:
        What was found.

    Raises:
        BaselineError: As `compare_two`; and where the runs of a job name different metrics.
    """
    shared = _shared(runs, asked)
    ranking, not_ranked = rank_jobs([run.name for run in runs], shared, asked, allowed)
    differences = run_differences(runs, shared)
    return ComparedRuns(runs, shared, differences, ranking=ranking, not_ranked=not_ranked)


def _shared(runs: Sequence[NamedRun], asked: Mapping[str, object]) -> dict[str, dict[str, BaselineJob]]:
    shared = shared_jobs(runs)
    if (metric := asked.get("metric")) is not None:
        require_metric(str(metric), shared)
    return shared
