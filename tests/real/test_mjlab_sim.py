"""mjlab itself, on a cart whose every episode has a known end at a known step."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

if find_spec("mjlab") is None:
    pytest.skip("needs mjlab: pip install 'mjlab>=1.6'", allow_module_level=True)

import av
import torch

from pytest_arena import EvaluationError, RecordingError, VideoRecorder, evaluate
from pytest_arena.simulators.mjlab import MjlabEnv, MjlabSimulator
from pytest_arena.testing import SimEnvContract, same
from tests.jobs import make_job
from tests.real.mjlab_cart import OFF_AT, SUCCESS_AT, TIME_OUT_AT, red

HERE = "tests.real.mjlab_cart"
FORCES = np.array([[1.0], [-1.0], [0.0]])
"""Row 0 succeeds, row 1 runs off, row 2 times out."""
ENDS = {0: (SUCCESS_AT, "success"), 1: (OFF_AT, "off_rail"), 2: (TIME_OUT_AT, "time_out")}
CAMERAS: dict[str, Any] = {"side": {"width": 64, "height": 48}}

MakeEnv = Callable[..., MjlabEnv]


def cart_job(
    task: str = f"{HERE}:cart_cfg", success: Any = None, rollout: Any = None, **environment: Any
) -> Any:
    base = {"id": task, "num_envs": 3, "device": "cpu"}
    return make_job(
        simulator="mjlab",
        environment={**base, **environment},
        success=success or {},
        policy={"type": f"{HERE}:Push", "forces": [1.0, -1.0, 0.0]},
        rollout=rollout or {"episodes": 3},
    )


@pytest.fixture
def make_env() -> Iterator[MakeEnv]:
    made: list[Any] = []

    def make(task: str = f"{HERE}:cart_cfg", **changes: Any) -> Any:
        made.append(MjlabSimulator().make(cart_job(task, **changes)))
        return made[-1]

    yield make
    for env in made:
        env.close()


class CartContract(SimEnvContract):
    """The contract, and beside it every number that is known."""

    steps = 12
    options: ClassVar[dict[str, Any]] = {}
    camera: ClassVar[bool] = True

    @pytest.fixture
    def env(self, make_env: MakeEnv) -> MjlabEnv:
        task = "filmed_cart_cfg" if self.camera else "cart_cfg"
        return make_env(f"{HERE}:{task}", options=self.options)

    def actions(self, env: Any) -> Any:
        return FORCES

    def test_every_episode_is_as_long_as_it_must_be(self, env: MjlabEnv) -> None:
        env.begin(None)
        first = self.begin(env)
        assert first.success.tolist() == [0, 0, 0]
        length, seen = np.zeros(3, int), 0
        for _ in range(25):
            step = env.step(FORCES)
            length += step.valid
            for end in step.ends:
                row = end.env_idx
                assert (length[row], end.reason) == ENDS[row]
                assert step.success[row] == (end.reason == "success")
                assert step.truncated[row] == (end.reason == "time_out")
                assert step.terminated[row] == (end.reason != "time_out")
                length[row] = 0
                seen += 1
            assert all(step.success[row] <= 0 for row in (1, 2))
            if step.ends and env.capabilities.autoreset == "manual":
                env.reset(np.array([end.env_idx for end in step.ends]), [0] * len(step.ends))
        assert seen == 25 // SUCCESS_AT + 25 // OFF_AT + 25 // TIME_OUT_AT

    def test_rewards_are_of_the_step_that_was_taken(self, env: MjlabEnv) -> None:
        """The reward is the cart's place times the step's 0.05 s."""
        self.begin(env)
        for n in range(1, SUCCESS_AT + 1):
            step = env.step(FORCES)
            assert step.reward[0] == pytest.approx(0.005 * n * (n + 1) * 0.05, abs=1e-4)


class TestManual(CartContract):
    def test_the_last_observation_and_image_are_the_ended_episodes(self, env: MjlabEnv) -> None:
        self.begin(env)
        kept = {}
        for n in range(1, TIME_OUT_AT + 1):
            step = env.step(FORCES)
            for row in {end.env_idx for end in step.ends} - set(kept):
                ends_at = {0: 0.21, 1: -0.10, 2: 0.0}[row]
                assert n == ENDS[row][0]
                assert step.terminal_observation["actor"][row, 0] == pytest.approx(ends_at, abs=0.004)
                image = env.cameras.frames(np.array([row]))["side"]
                kept[row] = (image, image.copy(), red(image[0]))
                env.reset(np.array([row]), [0])
                assert red(env.cameras.frames(np.array([row]))["side"][0]) == pytest.approx(31.5, abs=1.0)
        columns = {row: column for row, (_, _, column) in kept.items()}
        assert columns[1] < 27 < columns[2] < 36 < columns[0]
        assert all(np.array_equal(image, copied) for image, copied, _ in kept.values())

    def test_a_row_that_goes_on_keeps_what_it_has_seen(self, env: MjlabEnv) -> None:
        """mjlab observes all rows anew when one is reset, with other noise."""
        self.begin(env)
        for _ in range(OFF_AT):
            step = env.step(FORCES)
        reset = env.reset(np.array([1]), [0])
        before, after = step.observation["actor"], reset.observation["actor"]
        assert same(before[[0, 2]], after[[0, 2]])
        assert abs(float(after[1, 0])) < 0.003
        assert same(env.reset(np.array([1]), [0]).observation["actor"][[0, 2]], before[[0, 2]])

    def test_what_a_parked_row_is_told_matters_to_nobody(self, env: MjlabEnv) -> None:
        self.begin(env)
        for _ in range(OFF_AT):
            env.step(FORCES)
        actions = np.array([[1.0], [np.nan], [0.0]])
        assert env.step(actions).valid.tolist() == [True, False, True]
        step = env.step(actions)
        assert [end.env_idx for end in step.ends] == [0]
        assert np.isfinite(step.observation["actor"].numpy()).all()

    def test_a_rollout_with_fewer_episodes_than_rows_begins_like_any_other(self, env: MjlabEnv) -> None:
        env.begin(None)
        env.reset(None, [11, 0, 0])
        whole = [env.step(FORCES).observation["actor"][0].tolist() for _ in range(3)]
        env.begin(1)
        env.reset(np.array([0]), [11])
        steps = [env.step(FORCES) for _ in range(3)]
        assert [step.observation["actor"][0].tolist() for step in steps] == whole
        assert all(step.valid.tolist() == [True, False, False] for step in steps)


class TestManualWithoutCamera(CartContract):
    camera = False


class TestAutomatic(CartContract):
    options: ClassVar[dict[str, Any]] = {"auto_reset": True}

    def test_the_next_episode_is_not_taken_for_the_last_state(self, env: MjlabEnv) -> None:
        self.begin(env)
        env.cameras.frames(np.arange(3))
        for _ in range(TIME_OUT_AT):
            step = env.step(FORCES)
            assert step.terminal_observation is None
            for end in step.ends:
                assert env.cameras.last_frames(np.array([end.env_idx])) is None
                assert abs(float(step.observation["actor"][end.env_idx, 0])) < 0.003
        assert not env.capabilities.terminal_frame


class TestAutomaticWithoutCamera(CartContract):
    options: ClassVar[dict[str, Any]] = {"auto_reset": True}
    camera = False


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_ends(make_env: MakeEnv) -> None:
    env = make_env(f"{HERE}:filmed_cart_cfg", device="cuda:0")
    env.reset(None, [0] * 3)
    ends, columns = {}, {}
    for n in range(1, TIME_OUT_AT + 1):
        step = env.step(FORCES)
        for end in step.ends:
            ends[end.env_idx] = (n, end.reason)
            columns[end.env_idx] = red(env.cameras.frames(np.array([end.env_idx]))["side"][0])
            assert step.terminal_observation["actor"].is_cuda
    assert ends == ENDS
    assert columns[1] < 27 < columns[2] < 36 < columns[0]


@pytest.mark.parametrize("auto_reset", [False, True])
def test_success_by_a_function_is_that_of_the_ended_episode(make_env: MakeEnv, auto_reset: bool) -> None:
    success = {"callable": f"{HERE}:at_mark"}
    env = make_env(
        success=success, options={"auto_reset": auto_reset, "overrides": {"terminations.success": "null"}}
    )
    env.reset(None, [0] * 3)
    steps = [env.step(FORCES) for _ in range(SUCCESS_AT)]
    assert [int(step.success[0]) for step in steps] == [0] * (SUCCESS_AT - 1) + [1]


def test_success_is_unmeasured_where_nothing_says_so(make_env: MakeEnv) -> None:
    env = make_env(options={"overrides": {"terminations.success": "null"}})
    assert env.reset(None, [0] * 3).success.tolist() == [-1] * 3
    assert env.step(FORCES).success.tolist() == [-1] * 3


def test_the_jobs_horizon_ends_episodes_even_of_a_task_without_a_time_out(make_env: MakeEnv) -> None:
    without = {"overrides": {"terminations.time_out": "null"}}
    assert make_env(options=without).max_episode_steps is None
    env = make_env(options=without, max_episode_steps=3)
    assert env.max_episode_steps == 3
    env.reset(None, [0] * 3)
    ends = [env.step(FORCES).ends for _ in range(3)]
    assert [len(end) for end in ends] == [0, 0, 3]
    assert {end.reason for end in ends[2]} == {"time_out"}


def test_a_size_is_the_jobs_only_where_it_is_written(make_env: MakeEnv) -> None:
    for cameras, shape in (({"side": {"width": 32}}, (48, 32)), ({"side": {}}, (48, 64))):
        env = make_env(f"{HERE}:filmed_cart_cfg", cameras=cameras)
        env.reset(None, [0] * 3)
        assert env.cameras.frames(np.array([2, 0]))["side"].shape == (2, *shape, 3)
    with pytest.raises(RecordingError, match=r"no camera 'sid' \(did you mean 'side'\?\)"):
        make_env(f"{HERE}:filmed_cart_cfg", cameras={"sid": {}})


def test_where_configurations_come_from(make_env: MakeEnv) -> None:
    registered = {"task_package": [HERE]}
    assert make_env("Arena-Cart", options=registered).max_episode_steps == TIME_OUT_AT
    assert make_env(f"{HERE}:READY", num_envs=2).num_envs == 2
    played = make_env("Arena-Cart", options={**registered, "play": True}, max_episode_steps=5)
    assert played.max_episode_steps == 5
    for task, options, words in (
        ("Arena-Cat", registered, r"no task 'Arena-Cat' \(did you mean 'Arena-Cart'\?\)"),
        (
            "Arena-Cart",
            {**registered, "play": True},
            r"max_episode_steps: 'Arena-Cart' lets an episode last 1e\+09 s",
        ),
        (f"{HERE}:cart_cgf", {}, r"has no 'cart_cgf' \(did you mean 'cart_cfg'\?\)"),
        (f"{HERE}:MJCF", {}, "expected a ManagerBasedRlEnvCfg .* gave str"),
        (f"{HERE}:READY", {"play": True}, "expected a function with the argument play"),
        (f"{HERE}:filmed_cart_cfg", {"play": True}, "expected a function with the argument play"),
        ("nowhere_at_all:cart", {}, "cannot import 'nowhere_at_all'"),
        ("Arena-Cart", {"task_package": ["nowhere_at_all"]}, "task_package: cannot import"),
        (
            f"{HERE}:cart_cfg",
            {"overrides": {"scene.num_env": 2}},
            r"no 'num_env' \(did you mean 'num_envs'\?\)",
        ),
    ):
        with pytest.raises(EvaluationError, match=words):
            make_env(task, options=options)


def test_overrides_reach_the_task_and_leave_the_registered_one_alone(make_env: MakeEnv) -> None:
    overrides = {"observations": {"actor": {"enable_corruption": False}}, "decimation": 2}
    env = make_env(f"{HERE}:READY", options={"overrides": overrides}, max_episode_steps=7)
    assert env.step_dt == pytest.approx(0.1)
    assert env.max_episode_steps == 7
    place = env.reset(None, [0] * 3).observation["actor"][:, 0]
    env.begin(None)
    assert same(env.reset(None, [0] * 3).observation["actor"][:, 0], place)
    assert make_env(f"{HERE}:READY").step_dt == pytest.approx(0.05)


def episodes(output: Path, **changes: Any) -> Any:
    record = evaluate(cart_job(**changes), output=output)
    (run,) = (path for path in output.iterdir() if not path.is_symlink())
    lines = [json.loads(line) for line in (run / str(record.episodes_path)).read_text().splitlines()]
    return record, sorted(lines, key=lambda line: line["episode"])


@pytest.mark.parametrize("auto_reset", [False, True])
def test_a_job_has_the_same_numbers_whatever_ran_before(tmp_path: Path, auto_reset: bool) -> None:
    changes: dict[str, Any] = {
        "options": {"auto_reset": auto_reset},
        "rollout": {"episodes": 7, "rebuilds": 3},
    }
    told = []
    for attempt in ("first", "again"):
        record, lines = episodes(tmp_path / attempt, **changes)
        told.append([(line["return"], line["length"], line["end_reason"]) for line in lines])
        assert record.reproducible is False  # rows share one stream: no episode by itself
    assert told[0] == told[1]
    assert len({total for total, _, _ in told[0]}) == 7
    rows = [0, 1, 2, 0, 1, 0, 1]  # three episodes, and two after each rebuild
    assert [(length, reason) for _, length, reason in told[0]] == [ENDS[row] for row in rows]


def test_films_hold_every_step_and_the_last_image(tmp_path: Path) -> None:
    made = cart_job(f"{HERE}:filmed_cart_cfg", cameras=CAMERAS, rollout={"episodes": 5})
    record = evaluate(made, output=tmp_path, recorders=[VideoRecorder("on")])
    (run,) = (path for path in tmp_path.iterdir() if not path.is_symlink())
    assert record.terminal_frame is True
    assert len(record.videos) == 5
    for row, column in ((0, (40, 64)), (1, (0, 27)), (2, (28, 35))):
        with av.open(str(run / "job" / "videos" / f"episode-000{row}-env{row}-side.mp4")) as film:
            images = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert len(images) == ENDS[row][0] + 1
        assert 28 < red(images[0]) < 35
        assert column[0] < red(images[-1]) < column[1]


JOBS = f"""
defaults:
  simulator: mjlab
  environment:
    id: "{HERE}:filmed_cart_cfg"
    num_envs: 2
    device: cpu
    cameras: {{side: {{width: 64, height: 48}}}}
  rollout: {{episodes: 4}}
jobs:
  pushed:
    policy: {{type: "{HERE}:Push", forces: [1.0]}}
    thresholds: {{success_rate: ">= 0.9", episode_length: "6..6"}}
  pulled:
    policy: {{type: "{HERE}:Push", forces: [-1.0, 1.0]}}
    thresholds: {{success_rate: ">= 0.9"}}
"""


def test_a_job_file_from_thresholds_to_films(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath))
    path = pytester.path / "jobs.yaml"
    path.write_text(JOBS)
    result = pytester.runpytest_inprocess("--arena-jobs", str(path))
    result.assert_outcomes(passed=1, failed=1)
    (run,) = (pytester.path / "arena-results").glob("2*")
    report = {
        test["metadata"]["arena"]["job"]: test["metadata"]["arena"]
        for test in json.loads((run / "report.json").read_text())["tests"]
    }
    assert report["pushed"]["metrics"]["success_rate"] == 1.0
    assert report["pushed"]["videos"] == []
    pulled = json.loads((run / "pulled" / "record.json").read_text())
    assert pulled["metrics"]["success_rate"] == 0.5
    assert [Path(video).name for video in pulled["videos"]] == [
        "episode-0000-env0-side.mp4",
        "episode-0002-env0-side.mp4",
    ]
    assert pulled["identity"]["environment"]["mjlab"]


def test_the_first_reset_of_an_environment_begins_like_the_second(make_env: MakeEnv) -> None:
    """Its velocities are kept, unlike Isaac Lab's: no reset need be discarded."""
    env = make_env(options={"overrides": {"events.start.params.velocity_range": [-1.0, 1.0]}})
    begins = []
    for _ in range(2):
        env.begin(None)
        begins.append(env.reset(None, [7] * 3).observation["actor"].numpy().copy())
    assert (np.abs(begins[0][:, 1]) > 0.01).all()
    assert np.array_equal(begins[0], begins[1])
