"""Simulators by name: our own, and those of other packages (entry point ``pytest_arena.simulators``)."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points

from pydantic import ValidationError

from pytest_arena.errors import did_you_mean
from pytest_arena.jobs.messages import KeyPath, plain_error
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.user_modules import make_importable
from pytest_arena.simulators.base import Simulator
from pytest_arena.simulators.mujoco.rendering import choose_platform

ENTRY_POINT_GROUP = "pytest_arena.simulators"

BUILT_IN = {
    "gymnasium": "pytest_arena.simulators.gymnasium.simulator:GymnasiumSimulator",
    "isaaclab": "pytest_arena.simulators.isaaclab.simulator:IsaacLabSimulator",
    "isaaclab_arena": "pytest_arena.simulators.isaaclab_arena.simulator:IsaacLabArenaSimulator",
    "lerobot": "pytest_arena.simulators.lerobot:LeRobotSimulator",
    "libero": "pytest_arena.simulators.mujoco.libero:LiberoSimulator",
    "maniskill": "pytest_arena.simulators.maniskill.simulator:ManiSkillSimulator",
    "metaworld": "pytest_arena.simulators.mujoco.metaworld:MetaworldSimulator",
    "mjlab": "pytest_arena.simulators.mjlab:MjlabSimulator",
}


@cache
def _targets() -> dict[str, str]:
    found = {entry.name: entry.value for entry in entry_points(group=ENTRY_POINT_GROUP)}
    return {**found, **BUILT_IN}


@cache
def _load(target: str) -> Simulator:
    # MuJoCo and what is built on it read the choice once, when they are imported: before any module of a job.
    choose_platform()
    module, _, name = target.partition(":")
    simulator: Simulator = getattr(importlib.import_module(module), name)()
    return simulator


def simulator_names() -> list[str]:
    """Return the names of all known simulators."""
    return sorted(_targets())


def find_simulator(job: Job) -> Simulator:
    """Return the job's simulator, one object a process; `JobFileError` for an unknown name."""
    target = _targets().get(job.simulator)
    if target is None:
        known = ", ".join(simulator_names())
        hint = did_you_mean(job.simulator, simulator_names())
        raise job.problem(("simulator",), f"expected one of {known}, got {job.simulator!r}{hint}")
    return _load(target)


def validate_simulation(job: Job) -> Simulator:
    """Check everything of *job* that its simulator can judge without simulating; returns the simulator."""
    simulator = find_simulator(job)
    make_importable(job)
    try:
        simulator.Options.model_validate(job.environment.options)
    except ValidationError as error:
        key, expectation = plain_error(error, simulator.Options)
        raise job.problem(("environment", "options", *key), expectation) from None
    if job.environment.seeds is not None and not simulator.seeds_rows:
        raise job.problem(
            ("environment", "seeds"),
            f"the rows of {job.simulator} share one stream of random numbers, so that no episode has a seed "
            "of its own: set environment.seed",
        )
    if job.rollout.only is not None and not simulator.seeds_rows:
        raise job.problem(
            ("rollout", "only"),
            f"the rows of {job.simulator} share one stream of random numbers, so that no episode can be run "
            "without those before it: run the whole job",
        )
    if not simulator.gives_info:
        _refuse_info(job)
    simulator.validate(job)
    return simulator


def _refuse_info(job: Job) -> None:
    """Raise `JobFileError` where *job* reads numbers of infos."""
    asked: list[KeyPath] = [("metrics", name, "info") for name in job.metrics]
    if job.success.info is not None:
        asked.append(("success", "info"))
    for key in asked:
        raise job.problem(key, f"the simulator {job.simulator} gives no numbers of its infos")
