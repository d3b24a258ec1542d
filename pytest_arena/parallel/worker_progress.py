"""How far each worker is, shown by the controller: nothing that a worker prints reaches the terminal.

A worker writes where its job is into a hidden file of the run directory, a few times a second at most. A
thread of the controller reads these files: on a terminal it keeps one line a worker below pytest's own
output, elsewhere it prints a line a worker when its job begins, and now and then. What became of a job is
printed when its report arrives.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.parallel.shared_run_directory import shared_directory
from pytest_arena.records.files import write_json
from pytest_arena.records.from_json import from_json
from pytest_arena.records.json_files import read_json
from pytest_arena.records.run_directory import RunDirectory, read_record
from pytest_arena.records.schema import JobRecord
from pytest_arena.reports.progress_line import PERIOD, ended
from pytest_arena.reports.pytest_reporter import is_live, progress_reporter
from pytest_arena.rollout.progress import Snapshot, Tally

if TYPE_CHECKING:
    from pytest_arena.rollout.loop import Loop, Watch

INTERVAL = 0.5
"""Seconds between a worker's updates, and between the controller's looks."""
Snapshots = Mapping[str, Snapshot]
"""Worker -> where its job is."""


@contextlib.contextmanager
def progress_file(config: pytest.Config) -> Iterator[Callable[[Snapshot], None]]:
    """Yield what writes where this worker's job is, for the controller; the file is gone at the end."""
    directory = shared_directory(config)
    assert directory is not None, "a worker has a run directory"
    path = progress_path(directory, config.workerinput["workerid"])  # type: ignore[attr-defined]

    def write(snapshot: Snapshot) -> None:
        with contextlib.suppress(OSError):  # a full disk is found by those who write results
            write_json(path, asdict(snapshot))

    try:
        yield write
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def progress_updates(config: pytest.Config, tally: Tally) -> Iterator[Watch]:
    """Yield what a worker's loop calls after each step: every `INTERVAL` seconds it writes the file."""
    written = 0.0

    def update(loop: Loop) -> None:
        nonlocal written
        now = time.monotonic()
        if now - written >= INTERVAL:
            written = now
            write(tally.snapshot(loop, now))

    with progress_file(config) as write:
        yield update


def progress_path(directory: RunDirectory, worker: str) -> Path:
    """Return where *worker* writes how far it is."""
    return directory.path / f".progress-{worker}.json"


def read_progress(directory: RunDirectory) -> dict[str, Snapshot]:
    """Return where each worker is that runs a job, in the order of their numbers."""
    found = {}
    for path in directory.path.glob(".progress-*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError):
            worker = path.stem.removeprefix(".progress-")
            found[worker] = from_json(Snapshot, read_json(path))
    return dict(sorted(found.items(), key=lambda pair: [int(n) for n in re.findall(r"\d+", pair[0])]))


def watch_workers(config: pytest.Config, directory: RunDirectory) -> None:
    """Begin to show in the controller how far the workers are; ends with the session."""
    reporter = progress_reporter(config)
    if reporter is not None:
        display = LiveLines(reporter._tw) if is_live(reporter) else PlainLines(reporter._tw)
        config.pluginmanager.register(Watcher(directory, display), "arena_worker_progress")


class Watcher:
    """The thread that looks, and its end."""

    def __init__(self, directory: RunDirectory, display: PlainLines | LiveLines) -> None:
        self._directory, self._display = directory, display
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="arena-progress", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        with contextlib.suppress(Exception):  # a terminal that is gone must not end an evaluation
            while not self._over.wait(INTERVAL):
                self._display.show(read_progress(self._directory))

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The report of a job's rollout says where its record is."""
        path = dict(report.user_properties).get("arena_record")
        if report.when == "teardown" or not isinstance(path, str):
            return
        node = getattr(report, "node", None)
        with contextlib.suppress(OSError, ValueError):
            record = read_record(self._directory.path / path)
            self._display.end(None if node is None else node.gateway.id, record)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker that died cannot take its file away."""
        with contextlib.suppress(OSError):
            progress_path(self._directory, node.gateway.id).unlink()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Leave the terminal to the summary."""
        self.stop()

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        """However the session ends: no thread and no file is left."""
        self.stop()
        for path in self._directory.path.glob(".progress-*.json"):
            with contextlib.suppress(OSError):
                path.unlink()

    def stop(self) -> None:
        """End the thread and what it shows; again does nothing."""
        if not self._over.is_set():
            self._over.set()
            self._thread.join()
            with contextlib.suppress(Exception):
                self._display.close()


class PlainLines:
    """A line a worker when its job begins and ends, and every `PERIOD` seconds if it has got further."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._printed_at = time.monotonic()
        self._printed: dict[str, Snapshot] = {}
        self._jobs: dict[str, str] = {}
        """Worker -> the job whose beginning was printed."""

    def show(self, snapshots: Snapshots) -> None:
        """Print what has changed, when it is time."""
        now = time.monotonic()
        changed = {w: s for w, s in snapshots.items() if s.job != self._jobs.get(w)}
        if now - self._printed_at >= PERIOD:
            self._printed_at = now
            changed = {w: s for w, s in snapshots.items() if s != self._printed.get(w)}
        self._jobs.update({worker: snapshot.job for worker, snapshot in changed.items()})
        self._printed.update(changed)
        self._print(lines(changed))

    def end(self, worker: str | None, record: JobRecord) -> None:
        """Print what became of a job."""
        self._print([ended(record) if worker is None else f"[{worker}] {ended(record)}"])

    def close(self) -> None:
        """Nothing is left to take away."""

    def _print(self, texts: Sequence[str]) -> None:
        if texts:
            # At once: pytest's dots come from another thread. They may have begun a line.
            end = "\n" if self._writer.width_of_current_line else ""
            self._writer.write(end + "".join(f"{text}\n" for text in texts), flush=True)


class LiveLines:
    """Lines below pytest's own output: taken away before pytest writes something, drawn again after it."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._file = writer._file
        self._lock = threading.RLock()
        self._lines: Sequence[str] = ()
        writer._file = self

    def show(self, snapshots: Snapshots) -> None:
        """Draw these lines in the place of the former ones."""
        with self._lock:
            self._erase()
            columns, rows = shutil.get_terminal_size()
            # A line that wraps, or a block that is higher than the terminal, could not be taken away again.
            self._lines = [line[: columns - 1] for line in lines(snapshots)[: max(rows - 2, 0)]]
            self._draw()
            self._file.flush()

    def end(self, worker: str | None, record: JobRecord) -> None:
        """Show nothing: the table says what became of jobs."""

    def close(self) -> None:
        """Take the lines away; pytest writes by itself again."""
        with self._lock:
            self._erase()
            self._lines = ()
            self._file.flush()
            self._writer._file = self._file

    def write(self, text: str) -> int:
        """Write for pytest, above the lines."""
        with self._lock:
            self._erase()
            written: int = self._file.write(text)
            self._draw()
            return written

    def __getattr__(self, name: str) -> Any:
        """Everything else is the file's."""
        return getattr(self._file, name)

    def _erase(self) -> None:
        if self._lines:
            self._file.write("\x1b[J")  # all that is right of and below the cursor

    def _draw(self) -> None:
        """Draw below the cursor and bring it back: pytest may be in the middle of a line."""
        height = len(self._lines)
        if height:
            # "\x1bD" goes down, scrolling at the bottom, and keeps the column. Then the place is saved.
            room = "\x1bD" * height + f"\x1b[{height}A"
            self._file.write(room + "\x1b7" + "".join(f"\r\n{line}" for line in self._lines) + "\x1b8")


def lines(snapshots: Snapshots) -> list[str]:
    """Return e.g. ``[gw0] reach  episode 12/20  success 91.7%  340 steps/s  0:12  0:08 left``."""
    width = max((len(worker) for worker in snapshots), default=0) + 2
    return [f"{f'[{worker}]':<{width}} {snapshot.text()}" for worker, snapshot in snapshots.items()]
