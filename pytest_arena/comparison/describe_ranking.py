"""A ranking in words, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_arena.comparison.describe import amount_of
from pytest_arena.comparison.ranking import JobRanking, Ranking

_HEADINGS = ("", "run", "letters", "value", "episodes", "interval")


def describe_ranking(ranking: Ranking, not_ranked: Mapping[str, str]) -> Iterator[str]:
    """Yield a table a job, what is not ranked and why, and what the letters mean.

    *not_ranked*: label -> why the runs of this job are not in the ranking.
    """
    for label, job in ranking.jobs.items():
        better = "higher" if job.rule.higher_is_better else "lower"
        yield f"{label}: {job.rule.metric}, {better} is better"
        yield from _table(job)
        for run, reason in job.left_out.items():
            yield f"  {run} is not ranked: {reason}"
        for pair in job.pairs:
            if pair.reason is not None:
                yield f"  {pair.first} and {pair.second} cannot be compared: {pair.reason}"
        yield from (f"  {note}" for note in job.notes)
        yield ""
    for label, reason in not_ranked.items():
        yield f"{label}: not ranked: {reason}"
    if ranking.pairs:
        yield f"runs that share a letter are not told apart; {ranking.error_rate()}"


def _table(job: JobRanking) -> Iterator[str]:
    rows = [_HEADINGS]
    for place, run in enumerate(job.runs, 1):
        low_high = (
            "-"
            if run.interval is None
            else " to ".join(amount_of(end, job.rule.rate) for end in run.interval)
        )
        value = amount_of(run.value, job.rule.rate)
        rows.append((str(place), run.run, " ".join(run.letters), value, str(run.episodes), low_high))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {cells.rstrip()}"
