"""What holds for the servers of all protocols: one stream a row, and errors that end one episode."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

from pytest_arena import EvaluationError, JobFileError, Outcome, RolloutTimeoutError
from pytest_arena.guards.deadline import Deadline
from pytest_arena.policies.registry import make_policy, validate_policy
from pytest_arena.policies.servers.gr00t import Gr00t
from pytest_arena.policies.servers.openpi import Openpi, RoboArena
from pytest_arena.policies.servers.server_policy import ServerPolicy
from pytest_arena.policies.servers.vla_eval import VlaEval
from tests.fake_servers.gr00t_server import Gr00tServer
from tests.fake_servers.scripted import Script
from tests.fake_servers.websockets_server import OpenpiServer, RoboArenaServer, VlaEvalServer
from tests.fakes import ACTIONS
from tests.jobs import make_job

SPACE = gymnasium.spaces.Dict(
    image=gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8), arm=gymnasium.spaces.Box(-9, 9, (2,), np.float64)
)


def fake(n: int) -> Any:
    return SimpleNamespace(
        num_envs=n, single_action_space=ACTIONS, single_observation_space=SPACE, cameras=None, step_dt=0.1
    )


def observed(*values: int) -> dict[str, np.ndarray]:
    """Return an observation that differs from row to row."""
    rows = np.array(values)
    return {
        "image": np.broadcast_to(rows[:, None, None, None], (len(rows), 8, 8, 3)).astype(np.uint8),
        "arm": np.stack([rows / 4, -rows / 4], axis=1),
    }


@dataclass
class Family:
    """One protocol: our policy, a server, and the settings that fit them."""

    policy: type[ServerPolicy]
    server: Callable[..., Any]
    settings: dict[str, Any]
    knows_episodes: bool = True
    shared_state: bool = False
    """The protocol has no streams: the count of requests is of the whole server."""

    def make(self, server: Any, rows: int = 1, **settings: Any) -> ServerPolicy:
        given = {"address": server.address, "timeout": 20, "connect_timeout": 20, **self.settings, **settings}
        return self.policy(self.policy.Settings.model_validate(given), fake(rows))


NAMES = {
    "observation/image": {"from": "image"},
    "observation/state": {"from": "arm"},
    "prompt": {"instruction": True},
}
ROBOARENA = {
    "image_resolution": None, "needs_wrist_camera": False, "n_external_cameras": 1, "needs_session_id": True,
    "action_space": "joint_position",
}  # fmt: skip
FAMILIES = {
    "openpi": Family(Openpi, OpenpiServer, {"observation": NAMES}, knows_episodes=False),
    "roboarena": Family(
        RoboArena,
        lambda script=None, **kwargs: RoboArenaServer(script, ROBOARENA, **kwargs),
        {
            "observation": {"observation/exterior_image_0_left": {"from": "image"}, "observation/joint_position": {"from": "arm"}},
            "action": {"take": [0, 1]},
        },
    ),
    "vla_eval": Family(
        VlaEval,
        VlaEvalServer,
        {"observation": {"images.top": {"from": "image"}, "states": {"from": "arm"}, "task_description": {"instruction": True}}},
    ),
    "gr00t": Family(
        Gr00t,
        Gr00tServer,
        {
            "observation": {
                "video.front": {"from": "image"}, "state.arm": {"from": "arm"}, "language.annotation.human.task": {"instruction": True},
            },
            "action": {"from": ["joints", "gripper"]},
        },
        shared_state=True,
    ),
}  # fmt: skip


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    """Policies in this list are closed at the end."""
    policies: list[Any] = []
    yield policies
    for policy in policies:
        policy.close()


def begin(policy: ServerPolicy, *rows: int) -> None:
    policy.reset(np.array(rows), [0] * len(rows))


def end(policy: ServerPolicy, row: int, outcome: Outcome = Outcome.SUCCESS, error: str | None = None) -> None:
    policy.end_episodes(np.array([row]), [SimpleNamespace(outcome=outcome, error=error)])  # type: ignore[list-item]


@contextlib.contextmanager
def limits(policy: ServerPolicy, **seconds: float) -> Iterator[None]:
    """Let the policy wait less: only where nothing comes, for on a busy machine an answer may take its time."""
    before, policy.settings = policy.settings, policy.settings.model_copy(update=seconds)
    yield
    policy.settings = before


def counts(actions: np.ndarray) -> list[int]:
    """Return which request of its episode each row's plan was the answer to."""
    return [round(float(action[1]) * 100) for action in actions]


def test_rows_have_streams_of_their_own(family: Family, opened: list[Any]) -> None:
    """Row 1 begins anew: neither its plan nor the state of its stream is another row's."""
    with family.server() as server:
        policy = family.make(server, rows=3, execute=2)
        opened.append(policy)
        policy.set_task_description("öffne")
        begin(policy, 0, 1, 2)
        first = policy.act(observed(1, 2, 3))
        assert len({round(float(a[0]), 3) for a in first}) == 3
        again = policy.act(observed(4, 5, 6))
        np.testing.assert_array_equal(again[:, 0], first[:, 0])  # the second step of the same plans
        end(policy, 1)
        begin(policy, 1)
        third = policy.act(observed(1, 2, 3))
        np.testing.assert_array_equal(third[:, 0], first[:, 0])
        if not family.shared_state:
            assert counts(third) == ([2, 2, 2] if not family.knows_episodes else [2, 1, 2])
            assert server.script.connections == 3
        if family.knows_episodes:
            assert server.script.resets == 4
        assert not policy.row_errors


FAULTS = {
    "traceback": "the model broke",
    "wrong shape": r"expected actions of (the )?shape",
    "nan": "not finite",
    "silent": r"no answer within 1 s \(policy.timeout\)",
    "no message": "cannot be read",
    "gone": "the connection broke|no answer within",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_server_is_the_error_of_one_row(family: Family, fault: str, opened: list[Any]) -> None:
    script = Script(fault, at=2, stream=1)
    if family.shared_state:
        script = Script(fault, at=2, stream=0)
    with family.server(script) as server:
        policy = family.make(server, rows=2, execute=1)
        opened.append(policy)
        begin(policy, 0, 1)
        if family.shared_state:  # one row, so that it is known whose request is the second one
            end(policy, 0)
        policy.act(observed(1, 2))
        assert not policy.row_errors
        with limits(policy, timeout=1.0 if fault in ("silent", "gone") else 20.0):
            policy.act(observed(1, 2))
        assert list(policy.row_errors) == [1]
        with pytest.raises(EvaluationError, match=FAULTS[fault]):
            raise EvaluationError(policy.row_errors[1])
        if fault == "gone" and family.shared_state:
            return
        end(policy, 1, Outcome.ERROR, policy.row_errors[1])
        begin(policy, 1)  # on a connection of its own again
        server.script.fault = ""
        policy.act(observed(1, 2))
        assert not policy.row_errors


@pytest.mark.parametrize("fault", ["half a frame", "texts"])
@pytest.mark.parametrize("name", ["openpi", "vla_eval"])
def test_half_an_answer_is_the_error_of_one_row(name: str, fault: str, opened: list[Any]) -> None:
    with FAMILIES[name].server(Script(fault, stream=0)) as server:
        policy = FAMILIES[name].make(server, rows=2)
        opened.append(policy)
        begin(policy, 0, 1)
        policy.act(observed(1, 2))
        assert list(policy.row_errors) == [0]
        with pytest.raises(EvaluationError, match=r"broke before the answer was complete|cannot be read"):
            raise EvaluationError(policy.row_errors[0])


def test_a_server_that_is_not_there_ends_the_job(family: Family) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        nowhere = SimpleNamespace(address=f"{family.policy.schemes[0]}://127.0.0.1:{port}")
        with pytest.raises(
            EvaluationError, match=rf"no connection to .*:{port} for row 0: .*connect_timeout"
        ):
            family.make(nowhere, connect_timeout=0.2)


def test_a_server_that_accepts_and_says_nothing_ends_the_job(family: Family) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        nowhere = SimpleNamespace(address=f"{family.policy.schemes[0]}://127.0.0.1:{mute.getsockname()[1]}")
        with pytest.raises(EvaluationError, match="it does not answer"):
            family.make(nowhere, connect_timeout=0.2)


def test_a_server_that_has_gone_ends_the_job_at_the_next_episode(family: Family, opened: list[Any]) -> None:
    with family.server() as server:
        policy = family.make(server, execute=1)
        opened.append(policy)
        begin(policy, 0)
        policy.act(observed(1))
    with limits(policy, timeout=0.3, connect_timeout=0.3):
        policy.act(observed(1))
        assert list(policy.row_errors) == [0]
        end(policy, 0, Outcome.ERROR)
        with pytest.raises(EvaluationError, match="no connection to"):
            begin(policy, 0)


@pytest.mark.parametrize("name", ["openpi", "roboarena", "vla_eval"])
def test_a_server_of_one_connection_ends_a_job_with_two_rows(name: str, opened: list[Any]) -> None:
    with FAMILIES[name].server(Script("second connection")) as server:
        policy = FAMILIES[name].make(server, rows=2)
        opened.append(policy)
        with pytest.raises(
            EvaluationError, match=r"for row 1: .*one at a time.*takes one connection for each row"
        ):
            begin(policy, 0, 1)


@pytest.mark.parametrize("name", ["roboarena", "vla_eval"])
def test_a_reset_that_fails_is_the_error_of_its_episode(name: str, opened: list[Any]) -> None:
    with FAMILIES[name].server(Script("reset" if name == "roboarena" else "episode_start")) as server:
        policy = FAMILIES[name].make(server)
        opened.append(policy)
        begin(policy, 0)
        policy.act(observed(1))
        with pytest.raises(EvaluationError, match=r"no reset today|no such task"):
            raise EvaluationError(policy.row_errors[0])


@pytest.mark.parametrize("name", ["openpi", "roboarena", "vla_eval"])
def test_rows_ask_at_the_same_time(name: str, opened: list[Any]) -> None:
    """The server answers none before all have asked."""
    with FAMILIES[name].server(Script(together=16)) as server:
        policy = FAMILIES[name].make(server, rows=16)
        opened.append(policy)
        begin(policy, *range(16))
        policy.act(observed(*range(16)))
    assert not policy.row_errors


def test_a_time_limit_ends_a_wait_for_the_server(family: Family, opened: list[Any]) -> None:
    with family.server(Script("silent")) as server:
        policy = family.make(server, timeout=3600)
        opened.append(policy)
        begin(policy, 0)
        with pytest.raises(RolloutTimeoutError), Deadline(0.3):
            policy.act(observed(1))


def test_another_server_at_the_same_address_is_noted(opened: list[Any]) -> None:
    with OpenpiServer(Script("gone"), {"model": "a"}) as server:
        policy = FAMILIES["openpi"].make(server)
        opened.append(policy)
        begin(policy, 0)
        policy.act(observed(1))
        assert policy.review([]) == []
        server.metadata["model"] = "b"
        begin(policy, 0)
        (note,) = policy.review([])
        assert "it may have been another model" in note


def test_the_record_has_the_address_and_what_the_server_says(family: Family, opened: list[Any]) -> None:
    with family.server() as server:
        policy = family.make(server, reproducible=True)
        opened.append(policy)
        assert policy.identity["address"] == server.address
        said = policy.identity["server"]
        assert policy.reproducible
    wanted = {
        "openpi": {},
        "roboarena": ROBOARENA,
        "vla_eval": {"harness_version": "0", "protocol_version": 1, "model_server": "Fake"},
    }
    assert said == wanted.get(policy.name, server.modalities if policy.name == "gr00t" else None)


class TestOpenpi:
    def test_the_key_is_in_the_header_and_nowhere_else(
        self, monkeypatch: pytest.MonkeyPatch, opened: list[Any]
    ) -> None:
        monkeypatch.setenv("SERVER_KEY", "s3cret")
        with OpenpiServer(metadata={"model": "pi0", "mean": np.zeros(100)}, key="s3cret") as server:
            policy = FAMILIES["openpi"].make(server, api_key_env="SERVER_KEY")
            opened.append(policy)
            assert policy.identity == {
                "address": server.address,
                "server": {"model": "pi0", "mean": "an array of shape (100,) and type float64"},
            }
            monkeypatch.setenv("SERVER_KEY", "another")
            with pytest.raises(EvaluationError, match="HTTP 401 Unauthorized wrong key") as found:
                FAMILIES["openpi"].make(server, api_key_env="SERVER_KEY")
            assert "another" not in str(found.value)
            with pytest.raises(EvaluationError, match="NO_SUCH_KEY is not set"):
                FAMILIES["openpi"].make(server, api_key_env="NO_SUCH_KEY")

    def test_the_server_gets_what_the_map_makes(self, opened: list[Any]) -> None:
        with OpenpiServer() as server:
            policy = FAMILIES["openpi"].make(server)
            opened.append(policy)
            policy.set_task_description("öffne die Tür 🚪")
            begin(policy, 0)
            policy.act(observed(7))
        ((_, got),) = server.script.received
        assert got["prompt"] == "öffne die Tür 🚪"
        np.testing.assert_array_equal(got["observation/image"], np.full((8, 8, 3), 7, np.uint8))
        assert got["observation/state"].tolist() == [1.75, -1.75]


class TestRoboArena:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"image_resolution": [224, 224]}, r"asks for images of \[224, 224\] .*got \[8, 8\]: add resize"),
            ({"needs_wrist_camera": True}, "asks for the images observation/wrist_image_left"),
            ({"n_external_cameras": 2}, "observation/exterior_image_1_left"),
            ({"needs_stereo_camera": True}, "observation/exterior_image_0_right"),
        ],
    )
    def test_the_servers_configuration_is_held_against_the_map(
        self, changes: dict[str, Any], words: str, opened: list[Any]
    ) -> None:
        with RoboArenaServer(metadata=ROBOARENA | changes) as server:
            policy = FAMILIES["roboarena"].make(server)
            opened.append(policy)
            begin(policy, 0)
            with pytest.raises(EvaluationError, match=words):
                policy.act(observed(1))

    def test_actions_of_another_action_space_are_an_error(self, opened: list[Any]) -> None:
        with RoboArenaServer(metadata=ROBOARENA | {"action_space": "cartesian_position"}) as server:
            policy = FAMILIES["roboarena"].make(server)
            opened.append(policy)
            begin(policy, 0)
            policy.act(observed(1))
        assert "(H, 7), got (3, 8)" in policy.row_errors[0]

    def test_sessions_are_named_where_they_are_needed(self, opened: list[Any]) -> None:
        with RoboArenaServer(metadata=ROBOARENA | {"needs_session_id": False}) as server:
            policy = FAMILIES["roboarena"].make(server, rows=2)
            opened.append(policy)
            begin(policy, 0, 1)
            policy.act(observed(1, 2))
        assert {session for session, _ in server.script.received} == {""}


class TestVlaEval:
    def test_older_answers_are_discarded(self, opened: list[Any]) -> None:
        with VlaEvalServer(Script("older answer first")) as server:
            policy = FAMILIES["vla_eval"].make(server)
            opened.append(policy)
            begin(policy, 0)
            assert counts(policy.act(observed(1))) == [1]

    def test_an_answer_to_nothing_that_was_asked_is_an_error(self, opened: list[Any]) -> None:
        with VlaEvalServer(Script("wrong seq")) as server:
            policy = FAMILIES["vla_eval"].make(server)
            opened.append(policy)
            begin(policy, 0)
            policy.act(observed(1))
        assert "expected an answer to message 3, got one to 10" in policy.row_errors[0]

    def test_the_server_hears_how_episodes_ended(self, opened: list[Any]) -> None:
        with VlaEvalServer() as server:
            policy = FAMILIES["vla_eval"].make(server)
            opened.append(policy)
            for outcome, error in (
                (Outcome.SUCCESS, None),
                (Outcome.FAILURE, None),
                (Outcome.ERROR, "no plan"),
            ):
                begin(policy, 0)
                policy.act(observed(1))
                end(policy, 0, outcome, error)
            begin(policy, 0)
            policy.act(observed(1))
        assert server.script.ended == [
            {"success": True}, {"success": False}, {"success": False, "failure_reason": "no plan"}
        ]  # fmt: skip
        assert server.script.received[0][1].keys() == {"images", "states", "task_description"}

    def test_another_version_of_the_protocol_is_refused(self) -> None:
        with (
            VlaEvalServer(Script("version")) as server,
            pytest.raises(EvaluationError, match="version 1, got 2"),
        ):
            FAMILIES["vla_eval"].make(server)


class TestGr00t:
    def test_a_map_that_lacks_what_the_server_asks_for_is_refused_at_once(self) -> None:
        names = dict(FAMILIES["gr00t"].settings["observation"])
        names["state.arms"] = names.pop("state.arm")
        with (
            Gr00tServer() as server,
            pytest.raises(EvaluationError, match=r"no state.arm \(did you mean 'state.arms'"),
        ):
            FAMILIES["gr00t"].make(server, observation=names)

    def test_several_moments_are_what_the_environment_has_to_give(self, opened: list[Any]) -> None:
        modalities = {
            "video": {"delta_indices": [-1, 0], "modality_keys": ["front"]},
            "state": {"delta_indices": [0], "modality_keys": ["arm"]},
        }
        with Gr00tServer(modalities=modalities) as server:
            policy = FAMILIES["gr00t"].make(server)
            opened.append(policy)
            begin(policy, 0)
            with pytest.raises(
                EvaluationError, match=r"expected \(2, H, W, 3\): the server asks for 2 moments"
            ):
                policy.act(observed(1))
            stacked = {
                "video.front": np.zeros((1, 2, 8, 8, 3), np.uint8),
                "state.arm": np.zeros((1, 2), np.float32),
            }
            (answer,) = policy.plan(np.array([0]), stacked)
            assert answer["joints"].shape == (3, 1)

    def test_flat_keys_and_a_token(self, monkeypatch: pytest.MonkeyPatch, opened: list[Any]) -> None:
        monkeypatch.setenv("TOKEN", "t0ken")
        names = {
            "video.front": {"from": "image"},
            "state.arm": {"from": "arm"},
            "annotation.human.coarse_action": {"instruction": True},
        }
        settings = {
            "observation": names,
            "flat_keys": True,
            "action": {"from": ["action.joints", "action.gripper"]},
        }
        with Gr00tServer(flat=True, token="t0ken", knows_reset=False) as server:
            policy = FAMILIES["gr00t"].make(server, api_token_env="TOKEN", **settings)
            opened.append(policy)
            policy.set_task_description("go")
            begin(policy, 0)
            assert counts(policy.act(observed(1))) == [1]
            assert server.script.received[0][1]["annotation.human.coarse_action"] == ["go"]
            monkeypatch.setenv("TOKEN", "wrong")
            with pytest.raises(EvaluationError, match="Unauthorized: Invalid API token"):
                FAMILIES["gr00t"].make(server, api_token_env="TOKEN", **settings)

    def test_one_request_for_all_rows_has_the_same_answers(self, opened: list[Any]) -> None:
        plans = []
        for batch in ("single", "all"):
            with Gr00tServer(Script(counts=False)) as server:
                policy = FAMILIES["gr00t"].make(server, rows=3, batch=batch)
                opened.append(policy)
                begin(policy, 0, 1, 2)
                end(policy, 1)
                plans.append(policy.act(observed(1, 2, 3)))
                assert len(server.script.received) == (1 if batch == "all" else 2)
        np.testing.assert_array_equal(*plans)

    def test_a_fault_of_one_request_for_all_rows_is_an_error_of_each(self, opened: list[Any]) -> None:
        with Gr00tServer(Script("traceback")) as server:
            policy = FAMILIES["gr00t"].make(server, rows=2, batch="all")
            opened.append(policy)
            begin(policy, 0, 1)
            policy.act(observed(1, 2))
        assert list(policy.row_errors) == [0, 1]

    def test_very_old_servers_say_error(self, opened: list[Any]) -> None:
        with Gr00tServer(Script("old error")) as server:
            policy = FAMILIES["gr00t"].make(server)
            opened.append(policy)
            begin(policy, 0)
            policy.act(observed(1))
        assert "says no more than ERROR" in policy.row_errors[0]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"type": "openpi"}, "policy"),
        ({"type": "openpi", "address": "localhost:8000"}, "address"),
        ({"type": "openpi", "address": "ws://user:word@host:1"}, "address"),
        ({"type": "gr00t", "address": "ws://host:1"}, "address"),
        ({"type": "vla_eval", "address": "ws://host:99999999"}, "address"),
        ({"type": "vla_eval", "address": "ws://host:1", "images": "gif"}, "images"),
        ({"type": "openpi", "serve": "python server.py"}, "serve"),
        ({"type": "openpi", "serve": {"command": "x {port}", "per": "job"}}, "serve.per"),
        ({"type": "openpi", "address": "ws://host:1", "timeout": 0}, "timeout"),
        ({"type": "gr00t", "address": "tcp://host:1", "batch": "all", "reproducible": True}, "batch: single"),
    ],
)
def test_a_mistake_in_the_settings_is_found_before_anything_runs(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(JobFileError, match=key):
        validate_policy(make_job(policy=settings), may_import=True)


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    job = make_job(policy={"type": "vla_eval", "address": "ws://localhost:1"})
    with pytest.raises(Exception, match=r"needs websockets: pip install 'pytest-arena\[vla_eval\]'"):
        make_policy(job, fake(1))
