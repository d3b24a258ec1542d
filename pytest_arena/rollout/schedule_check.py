"""Whether episodes that are on disk are those that the job's schedule runs: nobody knows who wrote them."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pytest_arena.errors import first_few, shown
from pytest_arena.jobs.model import Job, split_episodes
from pytest_arena.jobs.sections import ENVIRONMENT_SEEDS
from pytest_arena.records.schema import Episode, JobRecord, Outcome
from pytest_arena.rollout.schedule import seeds_of

Problem = tuple[str, str, str]
"""Key, what is expected, what is there."""


def require_scheduled(
    job: Job | None,
    record: JobRecord,
    lines: Iterable[tuple[int, Episode]],
    *,
    whole: bool = False,
    older: bool = False,
) -> int:
    """Return how many of the episodes of an attempt were measured, if the job's schedule runs them so.

    Args:
        job: What the attempt ran; None where nobody knows: then nothing is compared with a schedule.
        record: That of the attempt.
        lines: (line number, episode) of each line of its ``episodes.jsonl``.
        whole: The episodes were put together from shards, whose rows count their steps each for itself.
        older: What earlier versions wrote is right too: seeds of 32 bits, no time to success, and times by a
            clock that an environment had replaced.

    Returns:
        The number of episodes that did not end as an error.

    Raises:
        ValueError: ``line N: key: expected …, got …``, for the first that the schedule does not run so.
    """
    planned = None if job is None else _Planned.of(job, record)
    rows: dict[int, list[tuple[int, Episode]]] = {}
    seen: dict[int, int] = {}
    for number, episode in lines:
        if episode.outcome == Outcome.ERROR:  # it will be run again
            continue
        if episode.episode in seen:
            raise ValueError(
                f"line {number}: episode: expected each once, it is in line {seen[episode.episode]} too, got "
                f"{episode.episode}"
            )
        problems = [] if planned is None else [*planned.problems(episode, older)]
        problems += _misplaced(record, episode)
        problems += _inconsistent(None if job is None else job.success.when, episode, older)
        _require_none(number, problems)
        seen[episode.episode] = number
        rows.setdefault(episode.env_idx, []).append((number, episode))
    if job is not None and not whole:
        for row in rows.values():
            _require_contiguous(row, gaps=job.rollout.episodes is None)
    recorded = {entry["episode"]: entry for entry in record.boundaries if "episode" in entry}
    for number, episode in (entry for row in rows.values() for entry in row):
        _require_none(number, _unlike(recorded.get(episode.episode, {}), episode))
    return len(seen)


def _require_none(number: int, problems: Iterable[Problem]) -> None:
    for key, expected, got in problems:
        raise ValueError(f"line {number}: {key}: expected {expected}, got {got}")


@dataclass(frozen=True)
class _Planned:
    """The episodes that a job, or its shard, runs; not listed, for there may be millions."""

    job: Job
    episodes: range | None
    """None of a job that is limited by steps."""
    starts: list[int]
    """The first episode of each rebuild."""
    only: frozenset[int] | None = None
    """Those of ``rollout.only``; None where the job has no such key."""

    @classmethod
    def of(cls, job: Job, record: JobRecord) -> _Planned:
        if job.rollout.episodes is None:
            return cls(job, None, [])
        total = job.rollout.episodes
        if job.gate is not None and job.gate.method == "e_process":
            # The budget of such a gate may have grown since run.json was written.
            total = max(total, record.episodes.get("requested", 0))
        wanted = range(total) if job.shard is None else job.shard.episodes(total)
        only = None if job.rollout.only is None else frozenset(job.rollout.only)
        return cls(job, wanted, [share.start for share in split_episodes(total, job.rollout.rebuilds)], only)

    def problems(self, episode: Episode, older: bool) -> Iterator[Problem]:
        """Yield where the job does not run *episode* so."""
        environment, rebuilds = self.job.environment, self.job.rollout.rebuilds
        rebuild, expected = episode.rebuild, f"0 to {rebuilds - 1}"
        if self.episodes is not None:
            if episode.episode not in self.episodes:
                runs = f"one of episodes {self.episodes[0]} to {self.episodes[-1]}"
                yield "episode", runs, shown(episode.episode)
                return
            if self.only is not None and episode.episode not in self.only:
                runs = f"one of the episodes {first_few(sorted(self.only))}"
                yield "episode", runs, shown(episode.episode)
                return
            rebuild = bisect(self.starts, episode.episode) - 1
            expected = str(rebuild)
        if episode.rebuild != rebuild or not 0 <= rebuild < rebuilds:
            yield "rebuild", expected, shown(episode.rebuild)
            return
        seed = seeds_of(environment, rebuild, episode.episode)[0]
        shortened = episode.seed % ENVIRONMENT_SEEDS if older and episode.seed is not None else episode.seed
        if shortened != seed:
            yield "seed", str(seed), shown(episode.seed)
        if not 0 <= episode.env_idx < environment.num_envs:
            yield "env_idx", f"0 to {environment.num_envs - 1}", shown(episode.env_idx)


def _misplaced(record: JobRecord, episode: Episode) -> Iterator[Problem]:
    """Yield where an episode is none of this attempt, or of any."""
    if episode.job != record.job:
        yield "job", repr(record.job), shown(episode.job)
    if episode.attempt != record.attempt:
        yield "attempt", str(record.attempt), shown(episode.attempt)
    for key in ("episode", "rebuild", "env_idx", "start_step"):
        if getattr(episode, key) < 0:
            yield key, "0 or more", shown(getattr(episode, key))


def _inconsistent(when: str | None, episode: Episode, older: bool) -> Iterator[Problem]:
    """Yield where an episode contradicts itself; *when* a success counts, None where nobody knows."""
    if episode.length < 1:
        yield "length", "1 or more", shown(episode.length)
    if episode.end_step != (last := episode.start_step + episode.length - 1):
        yield (
            "end_step",
            f"{last} (start_step {episode.start_step}, length {episode.length})",
            shown(episode.end_step),
        )
    if isinstance(episode.return_, bool):
        yield "return", "a number", shown(episode.return_)
    if episode.success_at_end and not episode.success_once:
        yield "success_once", "true, for success_at_end is", shown(episode.success_once)
    if when is not None:
        yield from _other_outcome("success_once" if when == "once" else "success_at_end", episode)
    unknown = older and episode.time_to_success is None
    if episode.success_once and not unknown and not 1 <= (episode.time_to_success or 0) <= episode.length:
        yield "time_to_success", f"1 to {episode.length}", shown(episode.time_to_success)
    if not episode.success_once and episode.time_to_success is not None:
        yield "time_to_success", "null, for success_once is not true", shown(episode.time_to_success)
    if episode.error is not None:
        yield "error", f"null, for the outcome is {episode.outcome}", shown(episode.error)
    if episode.end_reason == "exception":
        yield (
            "end_reason",
            f"another one, for the outcome is {episode.outcome}",
            shown(episode.end_reason),
        )
    if (episode.wall_time_seconds or 0.0) < 0 and not older:  # null stands for what was not finite
        yield "wall_time_seconds", "0 or more", shown(episode.wall_time_seconds)
    if not is_time(episode.started_at):
        yield "started_at", "a time in ISO 8601", shown(episode.started_at)


def _other_outcome(key: str, episode: Episode) -> Iterator[Problem]:
    success = getattr(episode, key)
    # An episode whose success is unknown at its end may have had none until then.
    possible = {True: {Outcome.SUCCESS}, False: {Outcome.FAILURE, Outcome.UNKNOWN}, None: {Outcome.UNKNOWN}}
    if episode.outcome not in possible[success]:
        words = " or ".join(sorted(possible[success]))
        yield "outcome", f"{words} ({key} is {shown(success)})", str(episode.outcome)


def _unlike(recorded: dict[str, int], episode: Episode) -> Iterator[Problem]:
    """Yield where the job's record has other boundaries of an episode."""
    for key in ("env_idx", "start_step", "end_step"):
        if key in recorded and recorded[key] != getattr(episode, key):
            yield key, f"{recorded[key]}, as the job's record says", shown(getattr(episode, key))


def is_time(text: str) -> bool:
    """Whether *text* is a time as records have it, in ISO 8601."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _require_contiguous(row: list[tuple[int, Episode]], *, gaps: bool) -> None:
    """A row runs its episodes one after the other; between them no step of it counts.

    *gaps*: but those of an episode that a limit of steps cut off, before the environment was built again.
    """
    following = 0
    for number, episode in sorted(row, key=lambda entry: entry[1].start_step):
        if episode.start_step < following or (episode.start_step > following and not gaps):
            raise ValueError(
                f"line {number}: start_step: expected {following}, which follows the episode before in row "
                f"{episode.env_idx}, got {episode.start_step}"
            )
        following = episode.end_step + 1
