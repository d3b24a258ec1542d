"""Robot-policy evaluations in simulation as pytest tests.

What ``__all__`` names is the public API (docs/api.md); the rest may change. Names are imported when they
are first used: importing this package imports nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pytest_arena.comparison.baseline import Baseline, load_baseline
    from pytest_arena.errors import (
        ArenaError,
        BaselineError,
        EvaluationError,
        JobFileError,
        MissingDependencyError,
        RecordingError,
        RolloutTimeoutError,
        RunDirectoryError,
    )
    from pytest_arena.evaluation.without_pytest import evaluate
    from pytest_arena.gate.recheck import recheck
    from pytest_arena.jobs.loader import load_jobs
    from pytest_arena.jobs.model import Job
    from pytest_arena.jobs.sections import Camera, StrictModel
    from pytest_arena.policies.base import Policy
    from pytest_arena.policies.chunks import ChunkedPolicy, ChunkSettings, PlanError
    from pytest_arena.policies.registry import make_policy
    from pytest_arena.recorders.rerun import RerunRecorder
    from pytest_arena.recorders.trajectory import TrajectoryRecorder
    from pytest_arena.recorders.video import VideoRecorder
    from pytest_arena.records.episodes import read_episodes
    from pytest_arena.records.run_directory import RunDirectory
    from pytest_arena.records.schema import Episode, JobRecord, Outcome, Status, ThresholdResult, Verdict
    from pytest_arena.rollout.metrics import Metric
    from pytest_arena.rollout.recorder import Recorded, Recorder, RolloutContext
    from pytest_arena.rollout.schedule import EpisodeStart, episode_seeds
    from pytest_arena.rollout.transition import Transition
    from pytest_arena.session.result import Result
    from pytest_arena.simulators.array_types import Action, Observation
    from pytest_arena.simulators.base import (
        UNMEASURED,
        Capabilities,
        DatasetWriter,
        EpisodeEnd,
        Parking,
        Reset,
        SimEnv,
        Simulator,
        Step,
    )
    from pytest_arena.simulators.cameras import Cameras
    from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv

__all__ = [
    "UNMEASURED",
    "Action",
    "ArenaError",
    "Baseline",
    "BaselineError",
    "Camera",
    "Cameras",
    "Capabilities",
    "ChunkSettings",
    "ChunkedPolicy",
    "DatasetWriter",
    "Episode",
    "EpisodeEnd",
    "EpisodeStart",
    "EvaluationError",
    "GymnasiumEnv",
    "Job",
    "JobFileError",
    "JobRecord",
    "Metric",
    "MissingDependencyError",
    "Observation",
    "Outcome",
    "Parking",
    "PlanError",
    "Policy",
    "Recorded",
    "Recorder",
    "RecordingError",
    "RerunRecorder",
    "Reset",
    "Result",
    "RolloutContext",
    "RolloutTimeoutError",
    "RunDirectory",
    "RunDirectoryError",
    "SimEnv",
    "Simulator",
    "Status",
    "Step",
    "StrictModel",
    "ThresholdResult",
    "TrajectoryRecorder",
    "Transition",
    "Verdict",
    "VideoRecorder",
    "episode_seeds",
    "evaluate",
    "load_baseline",
    "load_jobs",
    "make_policy",
    "read_episodes",
    "recheck",
]

_MODULES = {
    "comparison.baseline": ["Baseline", "load_baseline"],
    "errors": [
        "ArenaError",
        "BaselineError",
        "EvaluationError",
        "JobFileError",
        "MissingDependencyError",
        "RecordingError",
        "RolloutTimeoutError",
        "RunDirectoryError",
    ],
    "evaluation.without_pytest": ["evaluate"],
    "gate.recheck": ["recheck"],
    "jobs.loader": ["load_jobs"],
    "jobs.model": ["Job"],
    "jobs.sections": ["Camera", "StrictModel"],
    "policies.base": ["Policy"],
    "policies.chunks": ["ChunkSettings", "ChunkedPolicy", "PlanError"],
    "policies.registry": ["make_policy"],
    "recorders.rerun": ["RerunRecorder"],
    "recorders.trajectory": ["TrajectoryRecorder"],
    "recorders.video": ["VideoRecorder"],
    "records.episodes": ["read_episodes"],
    "records.run_directory": ["RunDirectory"],
    "records.schema": ["Episode", "JobRecord", "Outcome", "Status", "ThresholdResult", "Verdict"],
    "rollout.metrics": ["Metric"],
    "rollout.recorder": ["Recorded", "Recorder", "RolloutContext"],
    "rollout.schedule": ["EpisodeStart", "episode_seeds"],
    "rollout.transition": ["Transition"],
    "session.result": ["Result"],
    "simulators.array_types": ["Action", "Observation"],
    "simulators.cameras": ["Cameras"],
    "simulators.gymnasium.simulator": ["GymnasiumEnv"],
    "simulators.base": [
        "Capabilities",
        "DatasetWriter",
        "EpisodeEnd",
        "Parking",
        "Reset",
        "SimEnv",
        "Simulator",
        "Step",
        "UNMEASURED",
    ],
}
"""Where the names are defined."""
_HOME = {name: f"pytest_arena.{module}" for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import *name* from where it is defined."""
    if name == "join":  # a module of version 0.1, which conftest files may import
        return import_module("pytest_arena.evaluation.join_shards")
    if name not in _HOME:
        raise AttributeError(f"module 'pytest_arena' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
