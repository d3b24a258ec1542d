"""The attempt of a test item at its job: new, resumed, or one whose measurement stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.evaluation.judge import judge
from pytest_arena.options import settings
from pytest_arena.recorders import recorders_of_job
from pytest_arena.recorders.films.unfinished import unfinished_films
from pytest_arena.recorders.trajectories.simulators_own import unfinished_datasets
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.episodes import read_episodes
from pytest_arena.records.for_reports import arena_metadata
from pytest_arena.records.interrupted_attempt import keep_measured
from pytest_arena.records.schema import Episode, Outcome, Status
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
ATTEMPT = pytest.StashKey[Attempt]()
"""Of an item; anew for each rerun."""
RESULTS = pytest.StashKey[list[Result]]()
"""What the item's test has got from ``arena_rollout()`` in this attempt."""
_RESUMED = pytest.StashKey[bool]()
"""Whether the item has gone on with an attempt of the resumed run: a rerun begins anew."""


def attempt_of(item: pytest.Item, job: Job) -> Attempt:
    """Return the item's current attempt; the first call of a (re)run claims a folder and begins a record."""
    if ATTEMPT not in item.stash:
        item.stash[ATTEMPT] = _resumed_attempt(item, job) or _new_attempt(item, job)
    return item.stash[ATTEMPT]


def _new_attempt(item: pytest.Item, job: Job, notes: Sequence[str] = ()) -> Attempt:
    """Begin an attempt; it has nothing to run where an earlier one's measurement stands.

    *notes* are for its record.
    """
    run, label = run_of(item.config).directory, item.stash[LABEL]
    asked = item.config, item.nodeid, job, run, label
    standing = standing_measurement(*asked)
    if standing is None:
        notes = [*notes, *notes_on_new_episodes(*asked)]
        return Attempt.begin(job, run, label, item.nodeid, notes=notes)
    notes = [*standing.record.notes, standing.note, *notes]
    attempt = Attempt.begin(job, run, label, item.nodeid, like=standing.record, notes=notes)
    attempt.take_over(standing.episodes)
    attempt.record.hdf5_path = standing.record.hdf5_path
    attempt.nothing_left = True
    attempt.save()
    return attempt


def _resumed_attempt(item: pytest.Item, job: Job) -> Attempt | None:
    """Go on with the last attempt of the resumed run; steps mode has no episodes that one could lack."""
    run, label = run_of(item.config).directory, item.stash[LABEL]
    if settings(item.config).resume is None or job.rollout.episodes is None or _RESUMED in item.stash:
        return None
    item.stash[_RESUMED] = True
    found = run.reopen(label)
    if found is None:
        return None
    directory, before = found
    cost = unfinished_films(directory) + unfinished_datasets(directory)
    metrics = added_metrics(item.config, job)
    # Those are made anew, from the episodes that stay and those to come.
    judged = judge(job.as_run, read_episodes(directory.episodes), before, metrics, before.reported).notes
    earlier = keep_measured(directory)
    before.reproducible &= not any(episode.videos_note for episode in earlier)
    known = judge(job.as_run, earlier, before, metrics, before.reported)
    decided = known.gate is not None and known.gate.counted is not None
    nothing_left = bool(earlier) and (decided or len(earlier) == len(job.wanted_episodes))
    if earlier and not nothing_left and not before.reproducible and before.status != Status.COMPLETED:
        # Drawn anew, the episodes that were cut off would be others, and long ones are cut off more often.
        return _new_attempt(item, job, [_BEGUN_ANEW.format(before.attempt), *cost])
    kept = [note for note in before.notes if note not in judged]
    attempt = Attempt.begin(
        job,
        run,
        label,
        item.nodeid,
        directory=directory,
        like=before,
        earlier=earlier,
        notes=[*cost, *kept, *_without_films(item.config, job, earlier)],
    )
    attempt.nothing_left = nothing_left
    return attempt


def _without_films(config: pytest.Config, job: Job, earlier: Sequence[Episode]) -> list[str]:
    """Say how many films of failures the interruption cost."""
    bare = [e for e in earlier if e.outcome == Outcome.FAILURE and not e.videos]
    chosen = settings(config)
    kept = recorders_of_job.film_choice(job, chosen.video, chosen.video_default)[0] != "off"
    if not (bare and job.environment.cameras and kept):
        return []
    episodes = "1 failed episode" if len(bare) == 1 else f"{len(bare)} failed episodes"
    return [f"no video of {episodes}: the run was interrupted before they were filmed"]


def forget_attempt(item: pytest.Item) -> None:
    """A rerun is a new attempt, with a folder of its own."""
    if ATTEMPT in item.stash:
        del item.stash[ATTEMPT]
    if RESULTS in item.stash:
        del item.stash[RESULTS]


def metadata(item: pytest.Item) -> dict[str, Any] | None:
    """Return ``metadata.arena`` of a test, made of exact builtins: the transport refuses anything else."""
    attempt = item.stash.get(ATTEMPT, None)
    return None if attempt is None else {"arena": arena_metadata(attempt.record)}
