"""Runs of any size that no simulator has run: made-up episodes, written and judged by the real code."""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pytest_arena import Episode, Job, JobRecord, Outcome, RunDirectory, Status
from pytest_arena.comparison.baseline import Baseline, load_baseline
from pytest_arena.evaluation.judge import Against, compared, judge, process_died
from pytest_arena.evaluation.metrics_json import metrics_of
from pytest_arena.policies.times import Times, inference_record
from pytest_arena.recorders.films.encoder import Encoder
from pytest_arena.recorders.films.film import Film
from pytest_arena.recorders.films.mp4 import FilmFormat
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.files import write_json
from pytest_arena.rollout.metrics import Metric

TASKS = (
    "reach",
    "push",
    "door-open",
    "drawer-close",
    "peg-insert-side",
    "window-open",
    "button-press-topdown",
)
POLICIES = ("metaworld_expert", "openpi", "gr00t", "sb3")
CAMERAS = ("corner2", "gripper")


class Smoothness(Metric):
    """A metric beside the standard ones."""

    name, unit, direction = "smoothness", "m/s³", "lower"


class Collisions(Metric):
    """One that few episodes have."""

    name, direction, reduction = "collision_rate", "lower", "rate"


METRICS = (Smoothness(), Collisions())


def write_run(base: Path, jobs: Iterable[int], episodes: int, *, films: bool = True, seed: int = 0) -> Path:
    """Write a finished run, and the baseline that a tenth of its jobs are compared with.

    Every fifth job has metrics of its own and films of two cameras, half of these of its failures only; every
    tenth has a gate. A few ended with an error, crashed or never ran.

    Args:
        base: Folder of the run directories.
        jobs: Their numbers, which decide what each has: ``range(98)`` has some of everything.
        episodes: Of each job.
        films: Whether the films are there, which records name in any case.
        seed: Of everything that is drawn.

    Returns:
        The run directory.
    """
    film = _film(base) if films else None
    every = {number: make_job(number, episodes) for number in jobs}
    compared_ones = {number: job for number, job in every.items() if job.regression is not None}
    before = _run(base / "baseline", compared_ones, None, film, seed + 1)
    return _run(base / "runs", every, load_baseline(before.path), film, seed).path


def make_job(number: int, episodes: int) -> Job:
    """Return the job of that number; the number decides what it has."""
    task = TASKS[number % len(TASKS)]
    data: dict[str, Any] = {
        "name": f"{task}-{number}",
        "simulator": "gymnasium",
        "environment": {
            "id": f"Meta-World/{task}-v3",
            "num_envs": 4,
            "seed": number,
            "cameras": {camera: {"width": 256, "height": 256} for camera in CAMERAS if number % 5 == 0},
            "max_episode_steps": 200,
        },
        "policy": {"type": "zero"},
        "rollout": {"episodes": episodes},
        "thresholds": {"success_rate": ">= 0.6"},
        "tags": [["smoke", "nightly"][number % 2], task.replace("-", "_")],
        "record": {"video": "on" if number % 5 == 0 else "off"},
    }
    if number % 5 == 4:
        data["language_instruction"] = f"{task.replace('-', ' ')} with the red gripper"
        data["thresholds"]["episode_length"] = "<= 180"
    if number % 10 == 1:
        data["gate"] = {"confidence": 0.95, "episodes_max": 2 * episodes}
    if number % 10 == 2:
        data["regression"] = {"margin": 0.1}
    return Job.model_validate(data)


def _film(base: Path) -> Path:
    """Return a short film."""
    path, encoder = base / "film.mp4", Encoder()
    base.mkdir(parents=True, exist_ok=True)
    film = Film(path, FilmFormat(10, size=(96, 64)), encoder)
    for step in range(20):
        film.add(np.full((64, 96, 3), 10 * step, np.uint8))
    film.finish()
    encoder.close()
    return path


def _run(
    base: Path, jobs: Mapping[int, Job], baseline: Baseline | None, film: Path | None, seed: int
) -> RunDirectory:
    run, rng = RunDirectory.create(base), random.Random(seed)
    run.publish_manifest(_manifest(run, jobs.values()))
    for number, job in jobs.items():
        if number % 97 != 96:  # which never ran
            _attempt(run, job, baseline, film, rng, number)
    write_json(run.path / "metrics.json", metrics_of(run))
    run.finish_manifest(
        finished_at="2026-11-30T12:00:00.000Z",
        exit_status=1,
        never_ran=[],
        troubles=["1 test never ran to the end:"],
    )
    return run


def _manifest(run: RunDirectory, jobs: Iterable[Job]) -> Mapping[str, Any]:
    entries = {
        job.name: {
            "nodeid": f"evals/jobs/metaworld.yaml::rollout[{job.name}]",
            "file": "/home/somebody/robots/evals/jobs/metaworld.yaml",
            "line": 10 + 12 * number,
            "config_sha256": job.sha256(),
            "environment_group": "90eba1b00ed1",
            "launch_group": None,
            "steps_at_most": 200 * len(job.wanted_episodes),
            "policy_files": {"checkpoint": "5f" * 32},
            "policy_source": "a1" * 32,
            "config": job.config(),
        }
        for number, job in enumerate(jobs)
    }
    return {
        "schema_version": "1.0",
        "run": run.path.name,
        "command": ["/usr/bin/pytest", "evals/", "-n", "8", "--arena-baseline", "baseline"],
        "working_directory": "/home/somebody/robots",
        "started_at": "2026-11-30T10:00:00.000Z",
        "versions": {"python": "3.11.7", "pytest-arena": "0.3.0", "pytest": "9.0.0", "numpy": "2.4.6"},
        "revision": {"commit": "0f" * 20, "dirty": True},
        "machine": {
            "node": "robot-12",
            "system": "Linux",
            "processor": "x86_64",
            "cores": 64,
            "gpus": ["H100"],
        },
        "options": {"output": "arena-results", "baseline": "baseline"},
        "jobs": entries,
        "groups": [],
    }


def _attempt(
    run: RunDirectory, job: Job, baseline: Baseline | None, film: Path | None, rng: random.Random, number: int
) -> None:
    attempt = Attempt.begin(job, run, job.name, f"evals/jobs/metaworld.yaml::rollout[{job.name}]")
    record = attempt.record
    capabilities = {"autoreset": "manual", "episode_seeds": True, "deterministic": False}
    record.policy = POLICIES[number % len(POLICIES)]
    record.reproducible = number % 7 != 0
    record.identity |= {
        "policy": {"checkpoint_sha256": "5f" * 32},
        "horizon": 200,
        "capabilities": capabilities,
        "rendering": {"device": "egl"},
    }
    metrics = METRICS if number % 5 == 0 else ()
    record.definitions = {metric.name: metric.definition() for metric in metrics}
    times = Times()
    for milliseconds in (9, 9, 9, 9, 9, 10, 10, 11, 14, 80):
        times.add(milliseconds / 1000)
    record.inference = inference_record(times, None, batch=4, step_dt=0.0125)
    record.timings = {
        "build_seconds": 0.8,
        "rollout_seconds": 40.2,
        "recording_seconds": 3.1,
        "total_seconds": 43.7,
    }
    record.steps = 200 * len(job.wanted_episodes)
    if number % 11 == 3:
        attempt.note(
            "films by replay: 2 episodes did not repeat themselves; they are filmed live in the next run"
        )
    kept = range(len(job.wanted_episodes)) if job.gate is None else range(len(job.wanted_episodes) // 2)
    for episode in _episodes(record, kept, rng, ability=0.4 + 0.6 * rng.random()):
        if not metrics:
            episode.metrics = {}
        if number % 10 == 0 or (number % 5 == 0 and episode.outcome == Outcome.FAILURE):
            episode.videos = {c: _place(run, job, film, episode, c) for c in CAMERAS}
            record.videos += episode.videos.values()
        attempt.add(episode)
    attempt.close_lines()
    judgement = compared(
        judge(job, attempt.episodes, record, metrics), job, record, metrics, Against(baseline)
    )
    if number % 41 == 40:
        attempt.crash(Status.CRASHED, "its worker died of SIGSEGV", process_died(judgement))
    elif number % 43 == 42:
        try:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        except RuntimeError as error:
            attempt.fail(error, judgement)
    else:
        attempt.complete(judgement)


def _place(run: RunDirectory, job: Job, film: Path | None, episode: Episode, camera: str) -> str:
    path = run.path / job.name / "videos" / f"episode-{episode.episode:04}-env{episode.env_idx}-{camera}.mp4"
    if film is not None:
        path.parent.mkdir(exist_ok=True)
        os.link(film, path)
    return path.relative_to(run.path).as_posix()


def _episodes(record: JobRecord, which: range, rng: random.Random, ability: float) -> Iterator[Episode]:
    for number in which:
        success = rng.random() < ability
        length = rng.randint(40, 160) if success else 200
        outcome = Outcome.SUCCESS if success else Outcome.FAILURE
        episode = Episode(
            job=record.job,
            attempt=record.attempt,
            rebuild=0,
            episode=number,
            seed=rng.getrandbits(32),
            env_idx=number % 4,
            start_step=200 * (number // 4),
            end_step=200 * (number // 4) + length - 1,
            length=length,
            outcome=outcome,
            success_once=success,
            success_at_end=success,
            success_at_reset=False,
            return_=rng.gauss(800 if success else 150, 60),
            end_reason="success" if success else "time_out",
            started_at="2026-11-30T10:00:00.000Z",
            wall_time_seconds=round(rng.uniform(0.5, 3.0), 6),
            max_reward=10.0,
            time_to_success=length - 10 if success else None,
            initial_state=f"{rng.getrandbits(64):016x}",
            metrics={"smoothness": rng.random(), "collision_rate": float(rng.random() < 0.1)},
        )
        if rng.random() < 0.002:
            error = "the server said: out of memory"
            episode = dataclasses.replace(
                episode, outcome=Outcome.ERROR, success_once=None, success_at_end=None, error=error
            )
        yield episode
