"""A run to be exported: jobs that end in every way."""

from __future__ import annotations

from pathlib import Path

from pytest_arena import RunDirectory
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.episodes import write_episodes
from pytest_arena.records.files import write_json
from pytest_arena.records.schema import Outcome, Status
from tests.jobs import judged, make_job
from tests.unit.gate.samples import scheduled

JOBS = {"reach": [True, False, True], "push": [False, True, True, True], "lift": [True, True, False]}
UNKNOWN, CUT_OFF = ("push", 0), ("lift", 2)


def make_run(path: Path) -> str:
    """Write a run in which an episode of ``push`` was not measured, and one of ``lift`` is an error."""
    path.mkdir()
    run, configs = RunDirectory(path), {}
    for name, successes in JOBS.items():
        job = make_job(name, rollout={"episodes": len(successes)})
        episodes = scheduled(job, successes)
        for episode in episodes:
            episode.return_ = 1.5 * episode.episode
            episode.max_reward = 0.25 * episode.episode
            episode.metrics = {"force": 0.5 * episode.episode}
            if (name, episode.episode) == UNKNOWN:
                episode.outcome, episode.success_once = Outcome.UNKNOWN, None
            if (name, episode.episode) == CUT_OFF:
                episode.outcome, episode.end_reason = Outcome.ERROR, "exception"
                episode.error = "RuntimeError: the simulator broke"
        attempt = Attempt.begin(job, run, name)
        write_episodes(attempt.directory.episodes, episodes)
        attempt.record.definitions = {"force": {"reduction": "max"}}
        record = judged(attempt.record, job, episodes)
        record.status = Status.ERROR if name == CUT_OFF[0] else Status.COMPLETED
        record.finished_at = "2026-01-01T00:00:00.000Z"
        write_json(attempt.directory.record, record.to_json())
        configs[name] = {"config": job.config()}
    write_json(run.manifest_path, {"jobs": configs})
    return str(path)
