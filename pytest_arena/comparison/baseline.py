"""What a run is compared with: a run directory, a ``metrics.json``, or LeRobot's ``eval_info.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pytest_arena.comparison.lerobot_eval_info import group_aliases, lerobot_jobs
from pytest_arena.comparison.samples import Sample, sample_of
from pytest_arena.errors import BaselineError, NotComparableError, first_few
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import MOST_EPISODES
from pytest_arena.records.episodes import numbered_episodes
from pytest_arena.records.json_files import StoredFileError, problems_in, read_json
from pytest_arena.records.manifest import Manifest
from pytest_arena.records.run_directory import (
    METRICS_EPISODES,
    METRICS_ONLY,
    METRICS_STATUS,
    METRICS_VERDICT,
    LastAttempt,
    RunDirectory,
)
from pytest_arena.records.schema import Episode, JobRecord, Outcome, Status
from pytest_arena.rollout.metrics import Metric, require_own_value
from pytest_arena.rollout.schedule_check import require_scheduled

EXPECTED = "expected a run directory, a metrics.json of a run, or an eval_info.json of LeRobot"

_NO_METRICS = (METRICS_STATUS, METRICS_VERDICT)
"""Keys of a job in ``metrics.json`` beside its numbers."""
SAME = (("simulator",), ("environment", "id"))
"""Keys in which two jobs must agree to be compared at all."""
ALIKE = (
    ("success",),
    ("environment", "max_episode_steps"),
    ("environment", "options"),
    ("environment", "variations"),
    ("language_instruction",),
)
"""Keys whose difference a reader must know of."""


@dataclass(frozen=True)
class StoredEpisodes:
    """The ``episodes.jsonl`` of a completed job, which is read when it is needed."""

    path: Path
    record: JobRecord
    job: Job | None
    """What it ran; None where the run does not say it, or as no job of this version."""

    @classmethod
    def of(cls, path: Path, record: JobRecord, config: Mapping[str, Any]) -> StoredEpisodes:
        """Return those at *path*.

        Args:
            path: The file ``episodes.jsonl``. It is not read yet.
            record: The record of the job whose episodes these are.
            config: The job's resolved configuration, as the run has it.

        Returns:
            The episodes, to be read later. Their ``job`` is None where *config* is no job of this version.
        """
        try:
            return cls(path, record, Job.model_validate({**config}))
        except ValidationError:  # of an earlier version, or all that a record alone has
            return cls(path, record, None)

    def read(self, metric: Metric) -> list[Episode]:
        """Return the episodes that count, in their order: all, or those before a gate's decision.

        Raises `BaselineError`, one line that names the file, where they are not those that the job's schedule
        ran and its record tells, or where its number of *metric* is not theirs.
        """
        record, whole = self.record, self.job is not None and self.job.rollout.shards > 1
        try:
            with problems_in(self.path):
                lines = list(numbered_episodes(self.path))
        except StoredFileError as error:
            raise BaselineError(f"the episodes cannot be read: {error}") from None
        episodes = record.counted(sorted((e for _, e in lines), key=lambda episode: episode.episode))
        try:
            with problems_in(self.path):
                require_scheduled(self.job, record, lines, whole=whole, older=True)
                self._require_number(sum(e.outcome != Outcome.ERROR for e in episodes))
            with problems_in(self.path.with_name("record.json")):
                require_own_value(record, metric.name, episodes)
        except StoredFileError as error:
            raise BaselineError(str(error)) from None
        return episodes

    def _require_number(self, found: int) -> None:
        measured = self.record.episodes.get("measured", 0)
        if found < max(1, measured) or (measured and found > measured):
            wanted = f"{measured} measured episodes, as the job's record says" if measured else "episodes"
            raise ValueError(f"expected {wanted}, got {found}")


@dataclass(frozen=True)
class BaselineJob:
    """One job of a baseline: all its episodes, or samples of some metrics."""

    stored: StoredEpisodes | None = None
    samples: Mapping[str, Sample] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None
    definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Metric beside the standard ones -> its `Metric.definition`."""
    horizon: int | None = None
    """The most steps that an episode can have."""
    fixed: bool = True
    deterministic: bool = False
    """An episode that begins like another one repeats it."""
    problem: str | None = None
    """Why nothing of it can be compared."""
    fault: str | None = None
    """What is wrong with its files, so that nothing of it can be compared."""
    faults: Mapping[str, str] = field(default_factory=dict)
    """Metric -> what is wrong with its value, if it is a rate."""
    hint: str = "the baseline has no values of it"
    """Why a metric that is not in ``samples`` cannot be compared."""

    def sample(self, metric: Metric, whose: str = "the baseline") -> Sample:
        """Return the values of *metric*; raises `NotComparableError` where there are none, of *whose* run."""
        if self.problem is not None:
            raise NotComparableError(f"{whose}: {self.problem}")
        try:
            episodes = self.checked(metric)
        except BaselineError as error:
            raise NotComparableError(f"{whose}: {error}") from None
        if episodes is not None:
            return sample_of(
                episodes, metric, fixed=self.fixed, whose=whose, deterministic=self.deterministic
            )
        if metric.name not in self.samples:
            raise NotComparableError(f"{metric.name}: {self.hint}")
        return self.samples[metric.name]

    def checked(self, metric: Metric) -> list[Episode] | None:
        """Return its episodes, None where it has but samples.

        Raises `BaselineError`, which names the file, where what *metric* needs is broken.
        """
        fault = self.fault or (self.faults.get(metric.name) if metric.reduction == "rate" else None)
        if fault is not None:
            raise BaselineError(fault)
        return None if self.stored is None else self.stored.read(metric)

    def differences(self, config: Mapping[str, Any]) -> list[str]:
        """Return a note for each key in which the job with *config* is another one than the baseline's.

        Raises `NotComparableError` where it is another task.
        """
        if self.config is None:
            return []
        for key in SAME:
            before, now = value_at(self.config, key), value_at(config, key)
            if before != now:
                raise NotComparableError(f"{'.'.join(key)} was {before!r} in the baseline, is {now!r}")
        if "rollout" not in self.config:  # all that a record alone has
            return []
        different = [".".join(key) for key in ALIKE if _said(self.config, key) != _said(config, key)]
        before, now = _said(self.config, ("metrics",)), _said(config, ("metrics",))
        different += [f"metrics.{name}" for name in now if name in before and now[name] != before[name]]
        return [f"differs from the baseline in {', '.join(different)}"] if different else []


@dataclass(frozen=True)
class Baseline:
    """A baseline, read once."""

    path: Path
    jobs: Mapping[str, BaselineJob]
    """Label -> job."""
    only: BaselineJob | None = None
    """The single job of a file that does not name it."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names of jobs -> label."""

    def find(self, label: str) -> BaselineJob | None:
        """Return the job *label*; a file that does not name its job is about whichever is asked for."""
        return self.only if self.only is not None else self.jobs.get(self.aliases.get(label, label))


def load_baseline(path: Path) -> Baseline:
    """Read the baseline at *path*; raises `BaselineError`, one line, where there is none."""
    if path.name == "metrics.json" and (path.parent / "run.json").is_file():
        path = path.parent  # which has the episodes too
    try:
        if path.is_dir():
            return Baseline(path, dict(_jobs_of_run(path)))
        data = read_json(path, finite=False)  # LeRobot writes NaN
    except FileNotFoundError:
        raise BaselineError(f"{path}: {EXPECTED}, there is nothing") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BaselineError(f"{path}: {EXPECTED}; it cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise BaselineError(f"{path}: {EXPECTED}, got JSON of another shape")
    if "per_task" in data or "per_episode" in data:
        jobs = lerobot_jobs(data, path)
        named = {label: _of_samples(samples) for label, samples in jobs.items() if label is not None}
        only = _of_samples(jobs[None]) if None in jobs else None
        return Baseline(path, named, only, group_aliases(data))
    return Baseline(path, dict(_jobs_of_metrics(data, path)))


def stops_early(config: Mapping[str, Any]) -> bool:
    """Whether outcomes may decide how many episodes a job of this resolved configuration has."""
    gate = config.get("gate")
    if not isinstance(gate, dict):
        return False
    return bool(gate.get("stop_early", True)) or gate.get("method") == "e_process"


def _jobs_of_run(path: Path) -> Iterator[tuple[str, BaselineJob]]:
    run = RunDirectory(path)
    listed = run.manifest_path.is_file()  # earlier versions of `evaluate` wrote none
    manifest = run.manifest() if listed else Manifest(jobs={})
    configs = manifest.configs()
    if not listed and not run.records():
        raise BaselineError(f"{path}: {EXPECTED}, got a directory without run.json")
    for label, attempt in run.last_attempts(configs).items():
        if (entry := manifest.jobs.get(label)) is None or entry.shard is None:
            yield label, _job_of_attempt(run, attempt, configs.get(label))


def _job_of_attempt(run: RunDirectory, attempt: LastAttempt, config: Mapping[str, Any] | None) -> BaselineJob:
    record = attempt.record
    if attempt.fault is not None:
        return BaselineJob(fault=attempt.fault)
    if record is None:
        return BaselineJob(problem="the job did not run, or its folder is lost")
    if record.status != Status.COMPLETED:
        return BaselineJob(problem=f"the job did not complete ({record.status})")
    if record.only is not None:
        return BaselineJob(problem=_part(record.only))
    if config is None:
        config = {"simulator": record.simulator, "environment": {"id": record.environment}}
    if config.get("rollout", {}).get("steps") is not None:
        return BaselineJob(problem="it was limited by steps, which favours short episodes")
    return BaselineJob(
        stored=StoredEpisodes.of(run.directory_of(record).episodes, record, config),
        config=config,
        definitions=record.definitions,
        horizon=horizon if type(horizon := record.identity.get("horizon")) is int else None,
        fixed=record.gate is None or not stops_early({"gate": asdict(record.gate)}),
        deterministic=record.deterministic,
    )


def _jobs_of_metrics(data: Mapping[str, Any], path: Path) -> Iterator[tuple[str, BaselineJob]]:
    """Yield the jobs of a ``metrics.json`` that has been taken out of its run: rates and their counts."""
    for label, metrics in data.items():
        if not isinstance(metrics, dict):
            raise BaselineError(f"{path}: {EXPECTED}, got JSON of another shape")
        episodes = metrics.get(METRICS_EPISODES)
        where = f"{path}: job {label!r}"
        hint = "a metrics.json allows only rates to be compared, those that are in it; use the run directory"
        status = metrics.get(METRICS_STATUS, Status.COMPLETED)  # older files do not have it
        if status != Status.COMPLETED:
            yield label, BaselineJob(problem=f"the job did not complete ({status})")
            continue
        if isinstance(only := metrics.get(METRICS_ONLY), list):
            yield label, BaselineJob(problem=_part(only))
            continue
        metrics = {name: value for name, value in metrics.items() if name not in _NO_METRICS}
        if METRICS_EPISODES not in metrics:
            missing = f"its metrics.json has no fixed number of episodes ({METRICS_EPISODES})"
            yield label, BaselineJob(hint=f"{missing}; use the run directory")
            continue
        if episodes == 0 and not isinstance(episodes, bool):
            yield label, BaselineJob(problem="no episode of it was measured")
            continue
        if type(episodes) is not int or not 0 < episodes <= MOST_EPISODES:
            expected = f"a positive integer of at most {MOST_EPISODES:,}"
            wrong = f"{METRICS_EPISODES}: expected {expected}, got {_as_json(episodes)}"
            yield label, BaselineJob(fault=f"{where}: {wrong}")
            continue
        rates = {name: rate for name, rate in metrics.items() if _is_rate(rate, episodes)}
        samples = {name: Sample(counts=(round(rate * episodes), episodes)) for name, rate in rates.items()}
        faults = {
            name: f"{where}: {name}: expected a share of {episodes} episodes, got {_as_json(value)}"
            for name, value in metrics.items()
            if name not in {*rates, METRICS_EPISODES} and value is not None  # None: it was not measured
        }
        yield label, BaselineJob(samples=samples, faults=faults, hint=hint)


def _part(only: Sequence[Any]) -> str:
    """Say why a job of which some episodes ran is not compared: these were not drawn, they were chosen."""
    return f"a part of the job ran (rollout.only: episodes {first_few(only)}): run all of it"


def _as_json(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _is_rate(value: Any, episodes: int) -> bool:
    """Whether *value* can be a share of *episodes*; of what is also a mean, the metric knows."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and 0 <= value <= 1
        and abs(value * episodes - round(value * episodes)) < 1e-6
    )


def _of_samples(samples: Mapping[str, Sample]) -> BaselineJob:
    return BaselineJob(samples=samples, hint="LeRobot's file has no values of it")


def _said(config: Mapping[str, Any], key: tuple[str, ...]) -> Any:
    """Return what is under *key*, without what is null: earlier versions did not know all keys."""
    value = value_at(config, key)
    if isinstance(value, Mapping):
        return {name: part for name, part in value.items() if part is not None}
    return {} if value is None else value


def value_at(config: Mapping[str, Any], key: tuple[str, ...]) -> Any:
    """Return what a resolved configuration has under *key*, a path of names; None where there is nothing."""
    value: Any = config
    for part in key:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
