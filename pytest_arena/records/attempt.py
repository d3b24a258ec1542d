"""An attempt at a job, from its folder to its closed record. Nothing else writes records.

The record is written when the attempt begins, with the status ``running``; again when it is known what is
evaluated; and when it is closed: completed, failed, interrupted or crashed. Each finished episode is a line
on disk before the next step is taken. So whatever ends the process, what had been measured can be read.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import monotonic

from pytest_arena.errors import ArenaError, StrayOutcomeError
from pytest_arena.jobs.model import Job
from pytest_arena.records.episodes import JsonLinesWriter, write_episodes
from pytest_arena.records.files import utc_now, write_json
from pytest_arena.records.judgement import Judgement
from pytest_arena.records.provenance import host, versions
from pytest_arena.records.run_directory import JobDirectory, RunDirectory, read_record
from pytest_arena.records.schema import Comparison, Episode, JobRecord, Status, Verdict

_OF_THE_ROLLOUT = (
    "reproducible",
    "deterministic",
    "terminal_frame",
    "reported",
    "live_films",
    "definitions",
    "inference",
)
"""Fields of a record that only the rollout could tell."""


class Attempt:
    """One attempt at a job: its folder, its episodes, its record.

    The facts of the rollout (identity, timings, files) are set on `record` as they become known, and `save`
    writes it. Status, verdict, numbers, notes and the end are set here alone.
    """

    def __init__(
        self, run: RunDirectory, directory: JobDirectory, record: JobRecord, earlier: Iterable[Episode] = ()
    ) -> None:
        """Take charge of *record* in *directory*, a folder of *run*; *earlier* episodes have lines there."""
        self.run, self.directory, self.record = run, directory, record
        self.earlier: Sequence[Episode] = list(earlier)
        """Episodes that an interrupted session, or an attempt whose measurement stands, has measured."""
        self.episodes = list(self.earlier)
        """All episodes that have ended, those of errors too, in the order of their lines."""
        self.nothing_left = False
        """The earlier episodes are all that there will be."""
        self._notes: dict[str, list[str]] = {"judgement": [], "rollout": list(record.notes), "earlier": []}
        self._lines: JsonLinesWriter | None = None

    @classmethod
    def begin(
        cls,
        job: Job,
        run: RunDirectory,
        label: str,
        nodeid: str | None = None,
        *,
        directory: JobDirectory | None = None,
        like: JobRecord | None = None,
        earlier: Iterable[Episode] = (),
        notes: Iterable[str] = (),
    ) -> Attempt:
        """Begin an attempt at *job* under *label*, and write its record, with the status ``running``.

        Args:
            job: What is evaluated.
            run: The run that it is a part of.
            label: The job's name in this run: its folder, and the key of its metrics.
            nodeid: Of the test that evaluates it; None without one.
            directory: An attempt's folder to go on in; None claims the next free one.
            like: The record of the interrupted attempt, or of one whose measurement stands: what it says of
                the rollout is kept, for the process may be killed before the environment is known again.
            earlier: Episodes that need not be run again; they have lines in *directory* already.
            notes: What is known of the episodes before this session.

        Raises:
            OSError: The folder or the record cannot be written.
        """
        directory = run.claim(label) if directory is None else directory
        record = JobRecord(
            job=label,
            attempt=directory.attempt,
            config_sha256=job.sha256(),
            simulator=job.simulator,
            environment=job.environment.id,
            policy=job.policy.type,
            nodeid=nodeid,
            identity={"versions": versions(), "host": host()},
            only=None if job.rollout.only is None else [*job.rollout.only],
            episodes={"requested": len(job.wanted_episodes), "measured": 0, "errors": 0},
            record_path=directory.record.relative_to(run.path).as_posix(),
            episodes_path=directory.episodes.relative_to(run.path).as_posix(),
            started_at=utc_now() if like is None or not directory.resumed else like.started_at,
        )
        if like is not None:
            record.identity = like.identity | record.identity
            for name in _OF_THE_ROLLOUT:
                setattr(record, name, getattr(like, name))
        attempt = cls(run, directory, record, earlier)
        attempt.note(*notes, of="earlier")
        attempt.save()
        return attempt

    @classmethod
    def found(cls, run: RunDirectory, record: JobRecord) -> Attempt:
        """Take charge of an attempt whose *record* another process has left in *run*."""
        folder = (run.path / str(record.record_path)).parent
        return cls(run, JobDirectory(folder, record.attempt), record)

    def note(self, *texts: str, of: str = "rollout") -> None:
        """Add notes for the reader of the record; `save` writes them.

        *of* is their source: ``rollout``, or ``earlier`` for what is known of the episodes before this
        session. Those of the judgement are made anew with it; no others are ever taken away.
        """
        self._notes[of] += texts

    def save(self) -> None:
        """Write the record as it stands; OSError where it cannot be written."""
        self.record.notes = list(dict.fromkeys(text for texts in self._notes.values() for text in texts))
        write_json(self.directory.record, self.record.to_json())

    def note_at_once(self, text: str) -> None:
        """Add a note and write it, also to a record that is closed; OSError where it cannot be written.

        Verdicts over several jobs may have been written into a closed record since: they stay.
        """
        self.note(text)
        if self.record.finished_at is not None:
            with contextlib.suppress(OSError, ValueError):
                stored = read_record(self.directory.record)
                self.record.comparison, self.record.verdict = stored.comparison, stored.verdict
        self.save()

    def open_lines(self) -> JsonLinesWriter:
        """Make ``episodes.jsonl``, or go on with that of the interrupted session; once an attempt."""
        if self._lines is None:
            self._lines = JsonLinesWriter(self.directory.episodes, resume=self.directory.resumed)
        return self._lines

    def add(self, episode: Episode) -> None:
        """Append the line of an episode that ended; OSError where it cannot be written."""
        self.open_lines().append(episode.to_json())
        self.episodes.append(episode)

    def take_over(self, episodes: Iterable[Episode]) -> None:
        """Write *episodes* of other attempts as this one's, in the order of their index."""
        self.episodes = sorted(episodes, key=lambda episode: episode.episode)
        for episode in self.episodes:
            episode.job, episode.attempt = self.record.job, self.record.attempt
        self.earlier = list(self.episodes)
        self.rewrite_lines()

    def rewrite_lines(self) -> None:
        """Write the lines of all episodes again; OSError where they cannot be: then the former ones stand."""
        write_episodes(self.directory.episodes, self.episodes)

    def close_lines(self) -> None:
        """No more episodes come."""
        if self._lines is not None:
            self._lines.close()

    def complete(self, judgement: Judgement) -> None:
        """Close the record of a job that was measured: its verdict is that of *judgement*."""
        self._close(Status.COMPLETED, judgement)

    def fail(self, error: BaseException, judgement: Judgement | None = None) -> None:
        """Close the record with *error*; its full traceback unless the error is the user's to mend.

        *judgement* says what the episodes that there are tell; None where there are none.
        """
        named = error.__cause__ if isinstance(error, StrayOutcomeError) and error.__cause__ else error
        self.record.error = {
            "type": type(named).__name__,
            "message": str(error),
            "traceback": "" if isinstance(error, ArenaError) else "".join(traceback.format_exception(error)),
        }
        self._close(Status.ERROR, judgement)

    def interrupt(self, judgement: Judgement | None) -> None:
        """Close the record of a job that somebody has stopped; *judgement* as for `fail`."""
        self._close(Status.INTERRUPTED, judgement)

    def crash(self, status: Status, reason: str, judgement: Judgement | None) -> None:
        """Close the record of a job whose process ended while it ran; the verdict is ``error``.

        Args:
            status: CRASHED, or INTERRUPTED where somebody stopped the process.
            reason: Why the process ended, for the record's error.
            judgement: What the episodes that there are tell; None where there are none. As
                `process_died` returns it: no threshold is held.

        Raises:
            OSError: The record cannot be written.
        """
        self.record.error = {"type": str(status).capitalize(), "message": reason, "traceback": ""}
        self._close(status, judgement)

    def compare(self, comparison: Comparison, verdict: Verdict) -> None:
        """Write the record again with a *comparison* that was judged together with others."""
        self.record.comparison, self.record.verdict = comparison, verdict
        self.save()

    def spent(self, name: str, since: float) -> None:
        """Add the seconds *since* a moment of `time.monotonic` to the timing *name*."""
        timings = self.record.timings
        timings[name] = round(timings.get(name, 0.0) + monotonic() - since, 6)

    def relative(self, path: Path) -> str:
        """Return *path* as records have it: relative to the run directory."""
        return path.relative_to(self.run.path).as_posix()

    def _close(self, status: Status, judgement: Judgement | None) -> None:
        record = self.record
        if judgement is not None:
            for name, value in judgement.for_record().items():
                setattr(record, name, value)
            record.episodes.update(judgement.counts)
            self._notes["judgement"] = list(judgement.notes)
        record.status, record.verdict = status, Verdict.ERROR
        if status is Status.COMPLETED and judgement is not None:
            record.verdict = judgement.verdict
        record.finished_at = utc_now()
        self.save()
