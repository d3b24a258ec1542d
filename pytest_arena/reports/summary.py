"""A session in Markdown, as GitHub renders it: verdict, table of jobs, failures with their seeds.

Names and messages in it come from others: `pytest_arena.reports.markdown` makes them text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_arena.comparison.describe import amount, difference
from pytest_arena.gate.describe import describe_threshold_briefly
from pytest_arena.records.page_address import PAGE, job_address
from pytest_arena.records.schema import (
    Comparison,
    ComparisonVerdict,
    Episode,
    JobRecord,
    Status,
    ThresholdResult,
    Verdict,
)
from pytest_arena.reports.films_of_failures import missed_episodes
from pytest_arena.reports.html.exit_reason import exit_reason
from pytest_arena.reports.html.verdict_sentence import SessionEnding
from pytest_arena.reports.html.words import part_of_job
from pytest_arena.reports.job_outcomes import (
    EXPECTED,
    JobOutcome,
    counts,
    episodes_text,
    reasons,
    success_text,
    time_text,
)
from pytest_arena.reports.markdown import code, escaped
from pytest_arena.reports.reported_run import VerdictLine

JOBS_SHOWN = 200
"""Rows of the table: more are no summary, and the page has them all."""
FAILURES_SHOWN = 50
"""Jobs whose failed episodes are listed."""
EPISODES_SHOWN = 10
"""Episodes that are listed of each."""
TROUBLES_SHOWN = 20
_COLUMNS = ("", "job", "verdict", "success", "thresholds", "episodes", "time", "against the baseline")
_EPISODE_COLUMNS = ("episode", "seed", "end", "steps", "return", "film")


@dataclass(frozen=True)
class Session:
    """What is said of a session."""

    run_dir: Path
    folder: str
    """The run directory, as seen from where artifacts are gathered."""
    outcomes: Sequence[JobOutcome]
    """The worst first."""
    exit_status: int
    verdicts: Sequence[VerdictLine] = ()
    """Those over several jobs."""
    troubles: Sequence[str] = ()
    """What kept the session from success, beside tests that failed."""


def session_summary(session: Session, room: int) -> str:
    """Return the summary, with as many of its lines as there is room for.

    Args:
        session: What it is about.
        room: Bytes that the text may have in UTF-8.

    Returns:
        Markdown that ends with a line break; the last line says so where it is cut. Empty where there is no
        room even for that.
    """
    return _cut(_lines(session), room, f"The summary is cut here: {_where(session)}")


def _cut(lines: Iterable[str], room: int, last: str) -> str:
    """Join *lines* with line breaks, as many as *room* bytes hold; then *last* in place of the others."""
    kept: list[str] = []
    left = room - len(f"\n{last}\n".encode())
    for line in lines:
        left -= len(line.encode()) + 1
        if left < 0:
            kept += ["", last] if kept else []
            break
        kept.append(line)
    return "".join(f"{line}\n" for line in kept)


def _lines(session: Session) -> Iterator[str]:
    """Yield the summary line by line, so that of a huge one only the beginning is made."""
    yield f"## {_mark(session)} arena, {counts([*session.outcomes])}"
    yield ""
    suite_failed = any(holds is False for _, holds in session.verdicts)
    ending = SessionEnding(ended=True, status=session.exit_status, suite_failed=suite_failed)
    jobs_failed = any(outcome.bad for outcome in session.outcomes)
    yield f"{exit_reason(ending, jobs_failed=jobs_failed)}. {_where(session)}"
    yield ""
    yield from _said_of_all(session)
    yield from _table_of_jobs(session.outcomes)
    failures = [outcome for outcome in session.outcomes if outcome.bad and outcome.record is not None]
    for outcome in failures[:FAILURES_SHOWN]:
        yield from _failure(session, outcome)
    if len(failures) > FAILURES_SHOWN:
        yield f"… and {len(failures) - FAILURES_SHOWN} more jobs that failed: the page has them."


def _mark(session: Session) -> str:
    if session.exit_status == 0 and not any(outcome.bad for outcome in session.outcomes):
        return "✅"
    return "⚠️" if session.exit_status in (0, 2) else "❌"


def _where(session: Session) -> str:
    page = f": open its {code(PAGE)}" if _has_page(session) else ""
    return f"Films and records are in the folder {code(session.folder, 400)} of this run's artifact{page}."


def _has_page(session: Session) -> bool:
    return (session.run_dir / PAGE).is_file()


def _said_of_all(session: Session) -> Iterator[str]:
    """Yield the verdicts over several jobs, and the troubles."""
    marks = {True: "✅", False: "❌", None: "⚠️"}
    said = [f"- {marks[holds]} {code(text, 400)}" for text, holds in session.verdicts]
    said += [f"- ❌ {code(text.partition(chr(10))[0], 400)}" for text in session.troubles[:TROUBLES_SHOWN]]
    if len(session.troubles) > TROUBLES_SHOWN:
        said.append(f"- … and {len(session.troubles) - TROUBLES_SHOWN} more lines in the log")
    if said:
        yield from said
        yield ""


def _table_of_jobs(outcomes: Sequence[JobOutcome]) -> Iterator[str]:
    if not outcomes:
        return
    compared = any(outcome.record is not None and outcome.record.comparison for outcome in outcomes)
    columns = _COLUMNS if compared else _COLUMNS[:-1]
    yield _row(columns)
    yield _row("---" for _ in columns)
    for outcome in outcomes[:JOBS_SHOWN]:
        yield _row(_cells(outcome)[: len(columns)])
    yield ""
    if len(outcomes) > JOBS_SHOWN:
        yield f"… and {len(outcomes) - JOBS_SHOWN} more jobs: {counts([*outcomes[JOBS_SHOWN:]])}."
        yield ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(outcome: JobOutcome) -> tuple[str, ...]:
    record, name = outcome.record, code(outcome.job.folder)
    if record is not None and record.only is not None:
        name += f", {part_of_job(record.only)}"
    start = (_job_mark(outcome), name, escaped(outcome.word))
    if record is None:
        return (*start, "", "", "", "", "")
    judged = record.thresholds if record.status == Status.COMPLETED else ()
    thresholds = "<br>".join(
        f"{_threshold_mark(threshold)} {code(describe_threshold_briefly(threshold))}"
        for threshold in sorted(judged, key=lambda threshold: threshold.passed)[:5]
    )
    numbers = success_text(record), thresholds, episodes_text(record), time_text(record)
    return (*start, *numbers, _against_baseline(record.comparison))


def _threshold_mark(threshold: ThresholdResult) -> str:
    if threshold.passed:
        return "✓"
    return "?" if threshold.verdict is Verdict.INCONCLUSIVE else "✗"


def _job_mark(outcome: JobOutcome) -> str:
    if outcome.bad:
        return "❌"
    if outcome.undecided or outcome.word == EXPECTED:
        return "⚠️"
    return "➖" if outcome.word == Verdict.NONE else "✅"


def _against_baseline(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    if comparison.value is None or comparison.verdict is ComparisonVerdict.NOT_JUDGED:
        return str(comparison.verdict)
    before, now = (amount(comparison, value) for value in (comparison.baseline_value, comparison.value))
    metric = "" if comparison.metric == "success_rate" else f"{code(comparison.metric)} "
    return f"{comparison.verdict}: {metric}{before} before, {now} now, {escaped(difference(comparison))}"


def _failure(session: Session, outcome: JobOutcome) -> Iterator[str]:
    record, folder = outcome.record, outcome.job.folder
    assert record is not None, "a job that never ran has no failures"
    yield f"### {code(folder)}: {escaped(outcome.word)}"
    yield ""
    for reason in reasons(record):
        yield f"- {code(reason, 400)}"
    if _has_page(session):
        yield f"- in the page: {code(job_address(folder))}"
    yield ""
    yield from _episodes(record, missed_episodes(session.run_dir, record))


def _episodes(record: JobRecord, missed: Sequence[Episode]) -> Iterator[str]:
    if not missed:
        return
    yield _row(_EPISODE_COLUMNS)
    yield _row("---" for _ in _EPISODE_COLUMNS)
    for episode in missed[:EPISODES_SHOWN]:
        film = next(iter(episode.videos.values()), None)
        yield _row(
            (
                str(episode.episode),
                "-" if episode.seed is None else str(episode.seed),
                f"{episode.outcome}, {code(episode.error or episode.end_reason)}",
                str(episode.length),
                f"{episode.return_:.4g}",
                "" if film is None else code(film),
            )
        )
    yield ""
    if len(missed) > EPISODES_SHOWN:
        more = len(missed) - EPISODES_SHOWN
        yield f"… and {more} more episode{'s' if more > 1 else ''} in {code(record.episodes_path)}."
        yield ""
