"""``python -m pytest_arena history [DIR]``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pytest_arena.errors import RunDirectoryError, did_you_mean, first_few
from pytest_arena.records.job_history import JobHistory, Measurement, histories_of
from pytest_arena.records.run_directory import RESULTS
from pytest_arena.records.run_index import RunsBeside, read_runs
from pytest_arena.records.table_cells import episodes_cell, rate_cell
from pytest_arena.records.to_plain import to_plain

SHOWN = 20
"""Runs of a job that are printed where no job was asked for."""
HEADINGS = ("when", "success [interval]", "expected", "episodes", "verdict", "revision", "policy", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a folder of runs, and what is to be made of it."""
    parser.epilog = (
        "What is read of the runs is kept in a file beside them, which may be deleted. Jobs of which "
        "only some episodes were run are left out. A line between two runs says that the job's configuration "
        "changed: the numbers above and below it do not speak of the same thing. Exit status: 0, or 4 where "
        "there is no run."
    )
    parser.add_argument(
        "DIR",
        type=Path,
        nargs="?",
        default=Path(RESULTS),
        help=f"a folder with run directories in it (default: {RESULTS})",
    )
    parser.add_argument("--job", metavar="JOB", help=f"this job alone, in all runs (else the last {SHOWN})")
    parser.add_argument("--json", action="store_true", help="print JSON, of all runs")
    parser.add_argument(
        "--html", action="store_true", help="write index.html in DIR, as each session does at its end"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print a table a job, or all as JSON."""
    found = _read(arguments.DIR)
    histories = histories_of(found.runs)
    if arguments.job is not None:
        histories = [_named(arguments.job, histories, arguments.DIR)]
    if arguments.json:
        print(json.dumps(to_plain(_as_json(arguments.DIR, found, histories)), indent=2, allow_nan=False))
    else:
        shown = SHOWN if arguments.job is None else None
        print("\n".join(_lines(arguments.DIR, found, histories, shown)))
    if arguments.html:
        page = _write_page(arguments.DIR)
        if not arguments.json:
            print(f"\nwrote {page}")
    return 0


def _read(results: Path) -> RunsBeside:
    try:
        found = read_runs(results)
    except OSError as error:
        raise RunDirectoryError(f"{results}: expected a folder of runs: {error.strerror or error}") from None
    if found.runs:
        return found
    if (results / "run.json").is_file():
        raise RunDirectoryError(f"{results}: expected a folder of runs, this is one run; its folder has them")
    raise RunDirectoryError(f"{results}: {first_few(found.notes) or 'there is no run in this folder'}")


def _write_page(results: Path) -> Path:
    from pytest_arena.reports.html.history_page import write_history

    try:
        return write_history(results)
    except OSError as error:
        raise RunDirectoryError(
            f"{results}/index.html: cannot be written: {error.strerror or error}"
        ) from None


def _named(label: str, histories: Sequence[JobHistory], results: Path) -> JobHistory:
    for job in histories:
        if job.label == label:
            return job
    known = sorted(job.label for job in histories)
    raise RunDirectoryError(
        f"--job: no run in {results} has the job {label!r}{did_you_mean(label, known)}; "
        f"known: {first_few(known) or 'none'}"
    )


def _lines(
    results: Path, found: RunsBeside, histories: Sequence[JobHistory], shown: int | None
) -> Iterator[str]:
    """Yield what is printed: of each job the last runs, as many as *shown* says, or all."""
    first, last = found.runs[0].started_at[:10], found.runs[-1].started_at[:10]
    runs = "1 run" if len(found.runs) == 1 else f"{len(found.runs)} runs"
    yield f"{results}: {runs}, {first}{'' if first == last else f' to {last}'}"
    for job in histories:
        every = job.measurements
        kept = every if shown is None else every[-shown:]
        yield ""
        left = f" (the last {len(kept)} of {len(every)} runs; --job {job.label} prints all)"
        yield f"{job.label}: {job.latest.outcome}{left if len(kept) < len(every) else ''}"
        yield from _table(kept)
    if found.notes:
        yield ""
        yield from found.notes


def _table(measurements: Sequence[Measurement]) -> Iterator[str]:
    rows = [HEADINGS, *map(_row, measurements)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    yield _line(HEADINGS, widths)
    for index, (measurement, row) in enumerate(zip(measurements, rows[1:], strict=True)):
        if index and measurement.reconfigured:
            yield f"  -- configuration changed: {', '.join(measurement.reconfigured)} --"
        yield _line(row, widths)


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    return ("  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))).rstrip()


def _row(measurement: Measurement) -> tuple[str, ...]:
    run, job = measurement.run, measurement.job
    return (
        run.started_at[:16].replace("T", " "),
        rate_cell(measurement.success_rate, measurement.interval),
        "-" if measurement.threshold is None else measurement.threshold.expression,
        episodes_cell(job.measured, job.requested),
        measurement.outcome,
        f"{run.commit[:9]}{'+' if run.dirty else ''}" if run.commit else "-",
        (job.policy_sha256 or "-")[:9],
        run.name,
    )


def _as_json(results: Path, found: RunsBeside, histories: Sequence[JobHistory]) -> dict[str, Any]:
    return {
        "results": str(results),
        "runs": len(found.runs),
        "notes": found.notes,
        "jobs": {job.label: [_entry(measurement) for measurement in job.measurements] for job in histories},
    }


def _entry(measurement: Measurement) -> dict[str, Any]:
    run, job = measurement.run, measurement.job
    return {
        "run": run.name,
        "folder": job.folder,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "revision": {"commit": run.commit, "dirty": run.dirty},
        "machine": run.machine,
        "status": job.status,
        "verdict": job.verdict,
        "success_rate": job.success_rate,
        "interval": job.interval,
        "thresholds": [
            {"metric": t.metric, "expression": t.expression, "value": t.value, "passed": t.passed}
            for t in job.thresholds
        ],
        "episodes": {"measured": job.measured, "requested": job.requested},
        "seconds": job.seconds,
        "config_sha256": job.config_sha256,
        "policy": job.policy,
        "policy_sha256": job.policy_sha256,
        "reconfigured": measurement.reconfigured,
        "other_policy": measurement.other_policy,
        "other_versions": measurement.other_versions,
    }
