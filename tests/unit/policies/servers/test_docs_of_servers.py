"""The page on policies in a server: each job of it is valid, and each policy of it acts."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import yaml

from pytest_arena import load_jobs
from pytest_arena.policies.registry import validate_policy
from pytest_arena.policies.servers.gr00t import Gr00t
from pytest_arena.policies.servers.openpi import Openpi, RoboArena
from pytest_arena.policies.servers.serve import Serve
from pytest_arena.policies.servers.server_policy import ServerSettings
from pytest_arena.policies.servers.vla_eval import VlaEval
from tests.fake_servers.gr00t_server import Gr00tServer
from tests.fake_servers.websockets_server import OpenpiServer, RoboArenaServer, VlaEvalServer
from tests.jobs import make_job

PAGE = (Path(__file__).parents[4] / "docs" / "policy-servers.md").read_text()
BLOCKS = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]
POLICIES = [block["policy"] if "policy" in block else block["jobs"]["reach"]["policy"] for block in BLOCKS]
CLASSES: dict[str, Any] = {"openpi": Openpi, "roboarena": RoboArena, "vla_eval": VlaEval, "gr00t": Gr00t}
SERVERS: dict[str, Any] = {"openpi": OpenpiServer, "roboarena": RoboArenaServer, "vla_eval": VlaEvalServer, "gr00t": Gr00tServer}  # fmt: skip


def test_every_job_of_the_page_is_valid(tmp_path: Path) -> None:
    jobs = [block for block in BLOCKS if "jobs" in block]
    for number, block in enumerate(jobs):
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(block))
        (job,) = load_jobs(path)
        validate_policy(job, may_import=True)
    assert len(jobs) == 3
    for line in re.findall(r"`policy: (\{.*?\})`", PAGE):
        validate_policy(make_job(policy=yaml.safe_load(line)), may_import=True)


@pytest.mark.parametrize("given", POLICIES, ids=lambda given: given["type"])
def test_every_policy_of_the_page_acts(given: dict[str, Any]) -> None:
    """In an environment that has what the map names, with a server that takes it."""
    kind = given["type"]
    parts = {
        path: gymnasium.spaces.Box(0, 255, (300, 300, 3), np.uint8)
        if path in ("image", "exterior", "wrist")
        else gymnasium.spaces.Box(-9, 9, (39,), np.float64)
        for entry in given["observation"].values()
        if (path := entry.get("from")) is not None
    }
    image = np.zeros((1, 224, 224, 3), np.uint8)
    env: Any = SimpleNamespace(
        num_envs=1,
        step_dt=0.1,
        single_action_space=gymnasium.spaces.Box(-1, 1, (8 if kind == "roboarena" else 2,), np.float32),
        single_observation_space=parts["."] if "." in parts else gymnasium.spaces.Dict(parts),
        cameras=SimpleNamespace(names=("corner2",), frames=lambda rows: {"corner2": image}, observed=()),
    )
    seen: Any = {path: np.zeros((1, *part.shape), part.dtype) for path, part in parts.items()}
    settings = {key: value for key, value in given.items() if key not in ("type", "serve")}
    if "take" in settings.get("action", {}):
        settings["action"] = {"from": "actions"}  # the fake's actions have two numbers
    with SERVERS[kind]() as server:
        policy = CLASSES[kind](
            CLASSES[kind].Settings.model_validate({**settings, "address": server.address}), env
        )
        policy.reset(np.array([0]), [0])
        policy.act(seen.get(".", seen))
        policy.close()
    assert not policy.row_errors


def test_the_page_has_every_setting() -> None:
    own = {name for cls in CLASSES.values() for name in cls.Settings.model_fields}
    serve = {f"serve.{name}" for name in Serve.model_fields}
    named = set(re.findall(r"`([\w.]+)`", PAGE.partition("## One command")[2]))
    assert {*ServerSettings.model_fields, *own, *serve} <= named
