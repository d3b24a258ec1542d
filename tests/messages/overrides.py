"""Values of ``--arena-set`` that must be refused: by themselves, or by what becomes of a job."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pytest_arena import load_jobs
from pytest_arena.jobs.overrides import parse_override

JOBS = """\
defaults:
  simulator: metaworld
  environment: {num_envs: 4, seed: 0}
  rollout: {episodes: 20}
  policy: {type: metaworld_expert}
jobs:
  reach:
    environment: {id: reach-v3}
"""
NO_OVERRIDES = (
    "rollout.episodes",
    "",
    "=2",
    "rollout..episodes=2",
    "rollout.episodes=",
    "a/b:rollout.episodes=2",
    ":rollout.episodes=2",
    "rolout.episodes=2",
    "rollout.episods=null",
    "name=x",
    "policy.a=[1",
    "policy.a='",
    "policy.a={a: 1, a: 2}",
    "policy.a={1: 2}",
    "policy.a=.inf",
    "policy.a=[!!python/name:os.system x]",
    "policy.a=\udc80",
)
WRONG_FOR_THE_JOB = (
    "rollout.episodes=ten",
    "reach:rollout.episodes=ten",
    "policy.type=null",
    "environment={num_envs: x}",
    "simulator.x=2",
    "reach:rollout.rebuilds=99",
)


def load(override: str) -> None:
    Path("jobs.yaml").write_text(JOBS)
    load_jobs(Path("jobs.yaml"), [parse_override(override)])


MISTAKES: dict[str, Callable[[], object]] = {
    **{
        text.encode("ascii", "backslashreplace").decode() or "(nothing)": partial(parse_override, text)
        for text in NO_OVERRIDES
    },
    **{text: partial(load, text) for text in WRONG_FOR_THE_JOB},
}
