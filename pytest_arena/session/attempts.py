"""What an item has of its job: an attempt, new, resumed, or one whose measurement stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.evaluation.summarize import counted, notes_of
from pytest_arena.gate.job_gate import JobGate
from pytest_arena.options import settings
from pytest_arena.recorders import standard
from pytest_arena.recorders.films.unfinished import unfinished_films
from pytest_arena.recorders.trajectories.simulators_own import unfinished_datasets
from pytest_arena.records.attempt import begin_record, giving_up, keep_measured
from pytest_arena.records.episodes import write_episodes
from pytest_arena.records.for_reports import arena_metadata
from pytest_arena.records.run_directory import JobDirectory
from pytest_arena.records.schema import Episode, JobRecord, Outcome, Status
from pytest_arena.session.current_run import run_of
from pytest_arena.session.job_items import LABEL, added_metrics
from pytest_arena.session.reruns import notes_on_new_episodes, standing_measurement
from pytest_arena.session.result import Result

if TYPE_CHECKING:
    from pytest_arena.jobs.model import Job

_BEGUN_ANEW = (
    "begun anew: attempt {} was interrupted, and of episodes that share one stream of random numbers, or "
    "whose policy does not declare reproducible = True, what had finished by then is no fair sample"
)


@dataclass
class Attempt:
    """What an item has of its job; in the item's stash, anew for each rerun."""

    job: Job

    directory: JobDirectory
    record: JobRecord
    earlier: list[Episode] = field(default_factory=list)
    """Episodes that the resumed run had measured."""
    complete: bool = False
    """Whether nothing is left to run."""
    earlier_notes: list[str] = field(default_factory=list)
    """What the record of the resumed run says, and nobody will find again."""
    results: list[Result] = field(default_factory=list)

    @property
    def give_up(self) -> Callable[[BaseException], None]:
        """Writes the record as an error, for a process that is about to end."""
        return giving_up(self.record, self.directory.record)


ATTEMPT = pytest.StashKey[Attempt]()


ATTEMPTED = pytest.StashKey[bool]()


def attempt_of(item: pytest.Item, job: Job) -> Attempt:
    """Return the item's current attempt; the first call of a (re)run claims a folder and begins a record."""
    if ATTEMPT not in item.stash:
        item.stash[ATTEMPT] = _resumed_attempt(item, job) or _new_attempt(item, job)
    return item.stash[ATTEMPT]


def _new_attempt(item: pytest.Item, job: Job) -> Attempt:
    """Begin an attempt; it has nothing to run where an earlier one's measurement stands."""
    run, label = run_of(item.config).directory, item.stash[LABEL]
    asked = item.config, item.nodeid, job, run, label
    standing = standing_measurement(*asked)
    notes = notes_on_new_episodes(*asked) if standing is None else [standing.note]
    directory = run.claim(label)
    before = standing.record if standing is not None else None
    record = begin_record(job, directory, run.path, label, item.nodeid, before)
    attempt = Attempt(job, directory, record, earlier_notes=notes)
    if standing is not None:
        for episode in standing.episodes:
            episode.job, episode.attempt = label, directory.attempt
        write_episodes(directory.episodes, standing.episodes)
        record.hdf5_path = standing.record.hdf5_path
        attempt.earlier, attempt.complete = standing.episodes, True
    return attempt


def _resumed_attempt(item: pytest.Item, job: Job) -> Attempt | None:
    """Go on with the last attempt of the resumed run; steps mode has no episodes that one could lack."""
    run, label = run_of(item.config).directory, item.stash[LABEL]
    if settings(item.config).resume is None or job.rollout.episodes is None or ATTEMPTED in item.stash:
        return None
    item.stash[ATTEMPTED] = True  # a rerun begins anew
    found = run.reopen(label)
    if found is None:
        return None
    directory, before = found
    notes = unfinished_films(directory) + unfinished_datasets(directory)
    earlier = keep_measured(directory)
    before.reproducible &= not any(episode.videos_note for episode in earlier)
    complete = _nothing_left(item, job, before, earlier)
    if earlier and not complete and not before.reproducible and before.status != Status.COMPLETED:
        # Drawn anew, the episodes that were cut off would be others, and long ones are cut off more often.
        attempt = _new_attempt(item, job)
        attempt.earlier_notes = [_BEGUN_ANEW.format(before.attempt), *notes]
        return attempt
    record = begin_record(job, directory, run.path, label, item.nodeid, before)
    record.started_at = before.started_at
    notes += _kept_notes(item, job, before, earlier, complete)
    return Attempt(job, directory, record, earlier, complete, notes)


def _kept_notes(
    item: pytest.Item, job: Job, before: JobRecord, earlier: Sequence[Episode], complete: bool
) -> list[str]:
    """Return notes of the record *before* that no episode tells, and what films the interruption cost."""
    found = set(notes_of(job, counted(before, earlier)))
    kept = [
        note for note in before.notes if note not in found and (complete or "film" in note or "video" in note)
    ]
    bare = [e for e in earlier if e.outcome == Outcome.FAILURE and not e.videos]
    if bare and job.environment.cameras and _keeps_films(item.config, job):
        episodes = "1 failed episode" if len(bare) == 1 else f"{len(bare)} failed episodes"
        kept.append(f"no video of {episodes}: the run was interrupted before they were filmed")
    return kept


def _keeps_films(config: pytest.Config, job: Job) -> bool:
    chosen = settings(config)
    return standard.film_choice(job, chosen.video, chosen.video_default)[0] != "off"


def _nothing_left(item: pytest.Item, job: Job, before: JobRecord, earlier: Sequence[Episode]) -> bool:
    gate = JobGate.of(job.as_run, added_metrics(item.config, job), earlier, before.deterministic)
    decided = gate is not None and gate.done
    return bool(earlier) and (decided or len(earlier) == len(job.wanted_episodes))


def forget_attempt(item: pytest.Item) -> None:
    """A rerun is a new attempt, with a folder of its own."""
    if ATTEMPT in item.stash:
        del item.stash[ATTEMPT]


def metadata(item: pytest.Item) -> dict[str, Any] | None:
    """Return ``metadata.arena`` of a test, made of exact builtins: the transport refuses anything else."""
    from pytest_arena.session.attempts import ATTEMPT

    attempt = item.stash.get(ATTEMPT, None)
    return None if attempt is None else {"arena": arena_metadata(attempt.record)}
