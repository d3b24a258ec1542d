"""Our clients with the servers of openpi and vla-eval themselves, each in an environment of its own.

The variables name the Pythons of these environments. `.ci/peers` makes them; elsewhere these tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from pytest_arena import Episode, EvaluationError, Outcome
from pytest_arena.guards.deadline import Deadline
from pytest_arena.policies.servers.openpi import Openpi
from pytest_arena.policies.servers.serve import leave_server
from pytest_arena.policies.servers.server_policy import ServerPolicy
from pytest_arena.policies.servers.vla_eval import VlaEval
from pytest_arena.rollout.loop import Loop, Observers
from pytest_arena.rollout.recorder import RolloutContext
from pytest_arena.rollout.schedule import fixed_schedule
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv
from tests.fakes import ACTIONS, ScriptedEnv
from tests.jobs import make_job

ROOT = Path(__file__).parents[2]
PEERS: dict[str, tuple[type[ServerPolicy], str, dict[str, Any]]] = {
    "openpi": (Openpi, "PYTEST_ARENA_OPENPI_PYTHON", {"observation/state": {"from": "."}, "prompt": {"instruction": True}}),
    "vla_eval": (VlaEval, "PYTEST_ARENA_VLA_EVAL_PYTHON", {"states": {"from": "."}}),
}  # fmt: skip


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # for the server's files
    variable = PEERS[request.param][1]
    if not os.environ.get(variable):
        pytest.skip(f"{variable} names no Python: .ci/peers")
    yield request.param
    leave_server()


def make(peer: str, env: Any, fault: str = "", **settings: Any) -> ServerPolicy:
    cls, variable, observation = PEERS[peer]
    command = (
        f"PYTHONPATH={ROOT} exec {os.environ[variable]} {ROOT}/tests/real/{peer}_peer.py {{port}} {fault}"
    )
    given = {"serve": {"command": command}, "observation": observation, "timeout": 30, **settings}
    return cls(cls.Settings.model_validate(given), env)


def fake(n: int, space: Any = None) -> Any:
    space = space or spaces.Box(-9, 9, (3,), np.float64)
    return SimpleNamespace(
        num_envs=n, single_action_space=ACTIONS, single_observation_space=space, cameras=None, step_dt=0.1
    )


def roll_out(env: Any, policy: Any, episodes: int, folder: Path) -> list[Episode]:
    job = make_job(environment={"id": "CartPole-v1", "num_envs": env.num_envs})
    schedule = fixed_schedule(range(episodes), job.environment, rebuild=0, num_envs=env.num_envs, seeded=True)
    saved: list[Episode] = []
    context = RolloutContext(job, "j", 1, folder, folder, env)
    Loop(context, policy, schedule, Observers([], [], save=saved.append)).run(Deadline(None))
    return sorted(saved, key=lambda e: e.episode)


def test_episodes_do_not_depend_on_the_number_of_rows(peer: str, tmp_path: Path) -> None:
    """Actions of vla-eval's server tell the step of the episode on their connection, and cut chunks."""
    told = []
    for rows in (1, 3, 8):
        env = GymnasiumEnv(SyncVectorEnv([ScriptedEnv] * rows, autoreset_mode=AutoresetMode.DISABLED))
        policy = make(peer, env)
        policy.set_task_description("öffne die Tür 🚪")
        told.append([(e.outcome, e.length, e.return_) for e in roll_out(env, policy, 16, tmp_path)])
        policy.close()
    assert told[0] == told[1] == told[2]
    assert len({returned for *_, returned in told[0]}) > 8
    assert not [e for e in told[0] if e[0] == Outcome.ERROR]


def test_the_record_has_what_the_server_says(peer: str) -> None:
    policy = make(peer, fake(1))
    said = policy.identity["server"]
    policy.close()
    if peer == "openpi":
        assert said["model"] == "dummy"
        assert said["mean"].tolist() == [0, 1, 2]
    else:
        assert (said["model_server"], said["protocol_version"]) == ("Dummy", 1)
        assert said["action_spec"]["delta"]["dims"] == 2


FAULTS = {
    "traceback": "CUDA error: the model broke",
    "wrong\\ shape": r"expected actions of (the )?shape",
    "nan": "not finite",
    "gone": "the connection broke",
    "slow": r"no answer within 0.5 s \(policy.timeout\)",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_an_error_of_one_row_with_the_servers_words(peer: str, fault: str) -> None:
    execute = 1 if peer == "openpi" else None
    slow = fault == "slow"
    policy = make(peer, fake(1), fault, execute=execute, timeout=0.5 if slow else 30, connect_timeout=5)
    try:
        policy.reset(np.array([0]), [0])
        for _ in range(1 if slow else 9):  # the third request, of vla-eval's the first of the third chunk
            policy.act(np.ones((1, 3)))
            if policy.row_errors:
                break
        with pytest.raises(EvaluationError, match=FAULTS[fault]):
            raise EvaluationError(policy.row_errors[0])
        if fault == "gone":  # and with it all episodes that could follow
            with pytest.raises(EvaluationError, match=r"no connection to(.|\n)*ended with the status 1"):
                policy.reset(np.array([0]), [0])
    finally:
        policy.close()


@pytest.mark.parametrize("peer", ["vla_eval"], indirect=True)
def test_an_episode_that_the_server_refuses_is_an_error(peer: str) -> None:
    policy = make(peer, fake(1), "episode_start")
    policy.reset(np.array([0]), [0])
    policy.act(np.ones((1, 3)))
    policy.close()
    assert "episode_start_failed: ValueError: no such task" in policy.row_errors[0]


@pytest.mark.parametrize("images", ["raw", "png"])
def test_images_reach_vla_eval_as_they_are(images: str, tmp_path: Path) -> None:
    """What its own codec makes of our bytes, and our codec of its."""
    python = os.environ.get(PEERS["vla_eval"][1])
    if not python:
        pytest.skip(f"{PEERS['vla_eval'][1]} names no Python: .ci/peers")
    from pytest_arena.policies.servers import vla_eval
    from pytest_arena.policies.servers.arrays import packed, unpacked

    arrays = {
        "rgb": np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8),
        "rgba": np.random.default_rng(1).integers(0, 255, (20, 30, 4), np.uint8),
        "gray": np.random.default_rng(2).integers(0, 255, (20, 30, 1), np.uint8),
        "state": np.arange(5, dtype=np.float64).reshape(5, 1).T,
        "none": np.zeros((0, 2), np.float32),
    }
    payload = {"images": arrays, "n": np.int64(3)}
    message = {"type": "observation", "payload": payload, "seq": 1, "timestamp": 0.0}
    (tmp_path / "ours").write_bytes(packed(message, lambda value: vla_eval.encode(value, images)))
    # Of one channel its PNG codec, which packs again here, can make nothing.
    code = """if True:
        from vla_eval.protocol.messages import pack_message, unpack_message
        message = unpack_message(open("ours", "rb").read())
        assert message.payload["images"].pop("gray").shape == (20, 30, 1)
        open("theirs", "wb").write(pack_message(message))
    """
    subprocess.run([python, "-c", code], cwd=tmp_path, check=True)
    got = unpacked((tmp_path / "theirs").read_bytes(), vla_eval.decode)["payload"]
    assert got["n"] == 3
    assert len(got["images"]) == 4
    for name, array in got["images"].items():
        np.testing.assert_array_equal(array, arrays[name])
        assert array.dtype == arrays[name].dtype
