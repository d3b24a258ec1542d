"""What GitHub's runner shows of a session: a summary of the step, and annotations at the lines of jobs.

The rules of both: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from pytest_arena.reports.films_of_failures import missed_episodes
from pytest_arena.reports.job_outcomes import JobOutcome, job_outcomes, reasons
from pytest_arena.reports.markdown import one_line
from pytest_arena.reports.paths import below
from pytest_arena.reports.reported_run import ReportedRun
from pytest_arena.reports.summary import Session, session_summary

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable that names the file of the step's summary; other commands of the step write to it as well."""
SUMMARY_BYTES = 1024 * 1024
"""A file that is larger is not shown at all."""
ANNOTATIONS = 10
"""Annotations of a kind that are shown of a step."""
_EPISODES = 3
_CHARACTERS = 400


def write_summary(run: ReportedRun, failed: Container[str], exit_status: int, started_in: Path) -> None:
    """Append the summary of *run* to the file that GitHub's runner names, if there is one.

    Nothing is written of a run that left no records and has nothing to say.

    Args:
        run: The session's run, whose records are read from disk.
        failed: Node ids of the tests that failed.
        exit_status: The session's.
        started_in: Where pytest was started.

    Raises:
        OSError: The file cannot be written, or what others wrote leaves no room in it.
    """
    name = os.environ.get(SUMMARY)
    if not name:
        return
    directory, troubles = run.directory, run.troubles()
    outcomes = job_outcomes(directory.path, directory.manifest_if_sound(), failed)
    if not (troubles or run.suite or exit_status or any(outcome.record for outcome in outcomes)):
        return
    folder = from_workspace(directory.path, started_in)
    session = Session(directory.path, folder, outcomes, exit_status, run.suite, troubles)
    path = Path(name)
    taken = path.stat().st_size if path.exists() else 0
    text = session_summary(session, SUMMARY_BYTES - taken - 1)
    if not text:
        raise OSError(f"{path}: no room beside the {taken} bytes that are there")
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{text}" if taken else text)


def annotation_lines(run: ReportedRun, failed: Container[str], started_in: Path) -> list[str]:
    """Return a command of GitHub's workflows for each job that failed or decided nothing, the worst first.

    Those without a record, as of a job that never ran, are last.

    Args:
        run: The session's run, whose records are read from disk.
        failed: Node ids of the tests that failed.
        started_in: Where pytest was started.

    Returns:
        A line each, at most `ANNOTATIONS` errors and as many warnings: the last one tells how many more
        there are. None where no workflow of GitHub's runs.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return []
    directory = run.directory
    outcomes = job_outcomes(directory.path, directory.manifest_if_sound(), failed)
    # Of few annotations, those that say most: there is little to say of a job that never ran.
    outcomes.sort(key=lambda outcome: outcome.record is None)
    kinds = {
        "error": [outcome for outcome in outcomes if outcome.bad],
        "warning": [outcome for outcome in outcomes if outcome.undecided],
    }
    return [
        _command(kind, outcome, text, started_in)
        for kind, found in kinds.items()
        for outcome, text in _texts(found, directory.path)
    ]


def _texts(outcomes: Sequence[JobOutcome], run_dir: Path) -> Iterator[tuple[JobOutcome, str]]:
    for number, outcome in enumerate(outcomes[:ANNOTATIONS], 1):
        lines = [*_lines(outcome, run_dir)]
        if number == ANNOTATIONS and (more := len(outcomes) - number):
            lines.append(
                f"… and {more} more job{'' if more == 1 else 's'}: the summary of the step lists them"
            )
        yield outcome, "\n".join(lines)


def _lines(outcome: JobOutcome, run_dir: Path) -> Iterator[str]:
    if outcome.record is None:
        yield "it has no record"
        return
    found = [one_line(reason, _CHARACTERS) for reason in reasons(outcome.record)]
    yield from found or [f"the test failed, the job's verdict is {outcome.record.verdict}"]
    for episode in missed_episodes(run_dir, outcome.record)[:_EPISODES]:
        end = one_line(episode.error or episode.end_reason)
        yield f"episode {episode.episode}: {episode.outcome}, seed {episode.seed}, {end}"


def _command(kind: str, outcome: JobOutcome, text: str, started_in: Path) -> str:
    entry, properties = outcome.job.entry, {}
    if entry.file is not None:
        properties["file"] = from_workspace(Path(entry.file), started_in)
        if entry.line is not None:
            properties["line"] = str(entry.line)
    properties["title"] = f"{one_line(outcome.job.folder)}: {outcome.word}"
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{kind} {listed}::{_data(text)}"


def from_workspace(path: Path, started_in: Path) -> str:
    """Return *path* relative to the checkout, or else to where pytest was *started in*, if it is below it."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    path = Path(started_in, path)
    folders = [Path(workspace), started_in] if workspace else [started_in]
    return next((found for folder in folders if (found := below(path, folder))), path.as_posix())


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
