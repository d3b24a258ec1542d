"""Whether episodes that are on disk are those that the job's schedule runs: nobody knows who wrote them."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pytest_arena.jobs.model import Job
from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.records.typed import shown
from pytest_arena.rollout.schedule import episode_seeds, split_episodes


def require_scheduled(
    job: Job, lines: Iterable[tuple[int, Episode]], *, label: str, attempt: int, episodes: int, whole: bool
) -> int:
    """Return how many of the episodes *lines* were measured, given as (line number, episode).

    *episodes* is how many the whole job has, of which a shard runs its own; 0 for a job that is limited by
    steps. *whole*: they were put together from shards, whose rows count their steps each for itself.
    Raises ValueError, ``line N: key: expected …, got …``, for the first that the schedule does not run so.
    """
    planned = _Planned.of(job, episodes) if episodes else None
    rows: dict[int, list[tuple[int, Episode]]] = {}
    seen: dict[int, int] = {}
    for number, episode in lines:
        if episode.outcome == Outcome.ERROR:  # it will be run again
            continue
        for key, expected, got in _problems(job, episode, planned, label, attempt, seen):
            raise ValueError(f"line {number}: {key}: expected {expected}, got {got}")
        seen[episode.episode] = number
        rows.setdefault(episode.env_idx, []).append((number, episode))
    for row in () if whole else rows.values():
        _require_contiguous(row)
    return len(seen)


@dataclass(frozen=True)
class _Planned:
    """The episodes that a job, or its shard, runs; none of them is listed, for there may be millions."""

    episodes: range
    starts: list[int]
    """The first episode of each rebuild."""

    @classmethod
    def of(cls, job: Job, episodes: int) -> _Planned:
        wanted = range(episodes) if job.shard is None else job.shard.episodes(episodes)
        return cls(wanted, [share.start for share in split_episodes(episodes, job.rollout.rebuilds)])

    def rebuild(self, episode: int) -> int:
        return bisect(self.starts, episode) - 1


def _problems(
    job: Job,
    episode: Episode,
    planned: _Planned | None,
    label: str,
    attempt: int,
    seen: Mapping[int, int],
) -> Iterator[tuple[str, str, str]]:
    """Yield (key, what is expected, what is there) of one episode."""
    if episode.job != label:
        yield "job", repr(label), shown(episode.job)
    if episode.attempt != attempt:
        yield "attempt", str(attempt), shown(episode.attempt)
    if planned is not None and episode.episode not in planned.episodes:
        runs = f"one of episodes {planned.episodes[0]} to {planned.episodes[-1]}"
        yield "episode", runs, shown(episode.episode)
    if episode.episode < 0:
        yield "episode", "0 or more", shown(episode.episode)
    if episode.episode in seen:
        yield "episode", f"each once, it is in line {seen[episode.episode]} too", shown(episode.episode)
    rebuild = episode.rebuild if planned is None else planned.rebuild(episode.episode)
    if episode.rebuild != rebuild or not 0 <= rebuild < job.rollout.rebuilds:
        yield (
            "rebuild",
            str(rebuild if planned is not None else f"0 to {job.rollout.rebuilds - 1}"),
            shown(episode.rebuild),
        )
    seed = episode_seeds(job.environment.seed, rebuild, episode.episode)[0]
    if episode.seed != seed:
        yield "seed", str(seed), shown(episode.seed)
    if not 0 <= episode.env_idx < job.environment.num_envs:
        yield "env_idx", f"0 to {job.environment.num_envs - 1}", shown(episode.env_idx)
    yield from _inconsistent(job, episode)


def _inconsistent(job: Job, episode: Episode) -> Iterator[tuple[str, str, str]]:
    """Yield where an episode contradicts itself."""
    if episode.start_step < 0:
        yield "start_step", "0 or more", shown(episode.start_step)
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
    success = episode.success_once if job.success.when == "once" else episode.success_at_end
    # An episode whose success is unknown at its end may have had none until then.
    possible = {True: {Outcome.SUCCESS}, False: {Outcome.FAILURE, Outcome.UNKNOWN}, None: {Outcome.UNKNOWN}}
    if episode.outcome not in possible[success]:
        key = "success_once" if job.success.when == "once" else "success_at_end"
        words = " or ".join(sorted(possible[success]))
        yield "outcome", f"{words} ({key} is {shown(success)})", str(episode.outcome)
    if episode.success_once and not 1 <= (episode.time_to_success or 0) <= episode.length:
        yield "time_to_success", f"1 to {episode.length}", shown(episode.time_to_success)
    if not episode.success_once and episode.time_to_success is not None:
        yield "time_to_success", "null, for success_once is not true", shown(episode.time_to_success)


def _require_contiguous(row: list[tuple[int, Episode]]) -> None:
    """A row runs its episodes one after the other; between them no step of it counts."""
    following = 0
    for number, episode in sorted(row, key=lambda entry: entry[1].start_step):
        if episode.start_step != following:
            raise ValueError(
                f"line {number}: start_step: expected {following}, which follows the episode before in row "
                f"{episode.env_idx}, got {episode.start_step}"
            )
        following = episode.end_step + 1
