"""Trajectories of exact fakes: each number is where it belongs, in every autoreset mode."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from pytest_arena import Episode, Policy, Recorded, RolloutContext, SimEnv, TrajectoryRecorder, episode_seeds
from pytest_arena.errors import TimeIsUp
from pytest_arena.guards.deadline import Deadline
from pytest_arena.jobs.sections import Environment
from pytest_arena.recorders import trajectory
from pytest_arena.recorders.trajectories.step_buffer import StepBuffer
from pytest_arena.records import hdf5_writer
from pytest_arena.rollout.loop import Loop, Observers
from pytest_arena.rollout.schedule import fixed_schedule
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv
from tests.fakes import CountingVectorEnv
from tests.jobs import make_job

MODES = [AutoresetMode.DISABLED, AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]
LENGTHS = [[3, 1], [5, 2], [4, 6]]
SUCCESSES = [[True, False], [False], [True]]


class Telling(Policy):
    """Each action repeats what the policy saw."""

    def __init__(self, env: SimEnv) -> None:
        self.env = env

    def act(self, observation: Any) -> Any:
        seen = observation["inner"]["x"] if isinstance(observation, dict) else observation
        return np.array(seen[:, 1:] + 0.5, np.float32)


class Still(Telling):
    """Does nothing."""

    def act(self, observation: Any) -> Any:
        return np.zeros((self.env.num_envs, 2), np.float32)


class Keyed(GymnasiumEnv):
    """Observations as nested dicts, with an image and a word among them, and a state."""

    def _own(self, observation: Any) -> Any:
        x = super()._own(observation)
        image = np.broadcast_to(x[:, :1, None, None], (len(x), 8, 8, 3)).astype(np.uint8)
        words = np.array(["word"] * len(x))
        return {"inner": {"x": x}, "pair": (x[:, 0], x[:, 2]), "camera": image, "words": words}

    def state(self, env_ids: Any) -> Any:
        return {"robot": {"joint": np.stack([[row, 7.0] for row in env_ids])}}


def record(
    env: SimEnv,
    run_dir: Path,
    episodes: Sequence[int] = range(6),
    recorder: TrajectoryRecorder | None = None,
    policy: Policy | None = None,
) -> tuple[list[Episode], Recorded]:
    job = make_job(rollout={"episodes": 6}, environment={"id": "CartPole-v1", "seed": 3})
    recorder = recorder or TrajectoryRecorder()
    (run_dir / "job").mkdir(exist_ok=True)
    context = RolloutContext(job, "job", 1, run_dir / "job", run_dir, env)
    schedule = fixed_schedule(
        episodes, Environment(id="any", seed=3), rebuild=0, num_envs=env.num_envs, seeded=False
    )
    recorder.start(context)
    loop = Loop(context, policy or Telling(env), schedule, Observers((), [recorder]))
    loop.run(Deadline(None))
    return sorted(loop.episodes, key=lambda e: e.episode), recorder.close()


def fake(mode: AutoresetMode = AutoresetMode.DISABLED) -> GymnasiumEnv:
    return GymnasiumEnv(CountingVectorEnv(LENGTHS, SUCCESSES, mode))


@pytest.mark.parametrize("block_bytes", [1, 1 << 20], ids=["to-disk", "in-memory"])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_each_number_is_where_it_belongs(
    tmp_path: Path, mode: AutoresetMode, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trajectory, "StepBuffer", lambda directory, n: StepBuffer(directory, n, block_bytes))
    monkeypatch.setattr(hdf5_writer, "WRITE_BYTES", block_bytes)
    episodes, recorded = record(fake(mode), tmp_path)
    assert recorded == Recorded(hdf5_path="job/dataset.hdf5")
    assert [e.trajectory for e in episodes] == [f"job/dataset.hdf5#data/demo_{i}" for i in range(6)]
    with h5py.File(tmp_path / "job/dataset.hdf5") as file:
        assert sorted(file["data"]) == [f"demo_{i}" for i in range(6)]
        assert file["data"].attrs["total"] == sum(e.length for e in episodes) == 21
        for episode in episodes:
            demo, n, row = file[f"data/demo_{episode.episode}"], episode.length, episode.env_idx
            assert set(demo) == {"obs", "actions", "rewards", "dones", "terminal_obs"}
            at = demo["obs/policy"][0, 1]  # the fake's own count of the row's episodes
            seen = [[row, at, t] for t in range(n + 1)]
            assert demo["obs/policy"][()].tolist() == seen[:-1]
            assert demo["terminal_obs/policy"][()].tolist() == seen[-1:]
            assert demo["actions"][()].tolist() == [[at + 0.5, t + 0.5] for t in range(n)]
            assert demo["actions"].dtype == np.float32
            assert demo["rewards"][()].tolist() == [t + 1.0 for t in range(n)]
            assert demo["dones"][()].tolist() == [0] * (n - 1) + [1]
            seeds = episode_seeds(3, 0, episode.episode)
            assert (demo.attrs["seed"], demo.attrs["policy_seed"]) == seeds
            assert demo.attrs["num_samples"] == n
            assert demo.attrs["success"] == (episode.outcome == "success")
            assert demo.attrs["env_idx"] == row
    assert sorted(path.name for path in (tmp_path / "job").iterdir()) == ["dataset.hdf5"]


def test_what_tools_of_robomimic_and_isaac_lab_look_for(tmp_path: Path) -> None:
    env = Keyed(CountingVectorEnv(LENGTHS, SUCCESSES))
    _, recorded = record(env, tmp_path)
    with h5py.File(tmp_path / str(recorded.hdf5_path)) as file:
        env_args = json.loads(file["data"].attrs["env_args"])
        assert env_args["env_name"] == "CartPole-v1"
        assert env_args["type"] == 2
        assert env_args["env_kwargs"] == {}
        demo = file["data/demo_1"]
        assert set(demo["obs"]) == {"inner", "pair", "camera"}
        assert demo["obs/inner/x"].shape == (5, 3)
        assert demo["obs/pair/1"][()].tolist() == [0, 1, 2, 3, 4]
        assert demo["obs/camera"].shape == (5, 8, 8, 3)
        assert demo["obs/camera"].dtype == np.uint8
        assert demo["obs/camera"].compression == "gzip"
        assert demo["obs/camera"][()].max() == demo.attrs["env_idx"] == 1
        assert demo["initial_state/robot/joint"][()].tolist() == [[1, 7]]
        assert demo["terminal_obs/inner/x"][()].tolist() == [[1, 0, 5]]


def test_an_unmeasured_success_is_left_out(tmp_path: Path) -> None:
    env = fake()
    env._success._keys = ("nowhere",)
    record(env, tmp_path)
    with h5py.File(tmp_path / "job/dataset.hdf5") as file:
        assert "success" not in file["data/demo_0"].attrs


class Killed(TrajectoryRecorder):
    def close(self) -> Recorded:
        return Recorded()


def test_a_killed_process_leaves_whole_files_that_the_next_one_collects(tmp_path: Path) -> None:
    from pytest_arena.records.interrupted_attempt import keep_measured
    from pytest_arena.records.run_directory import JobDirectory

    recorder = Killed()
    record(fake(), tmp_path, range(3), recorder)
    folder = tmp_path / "job"
    (folder / "trajectories/.steps-000000000.part").write_bytes(b"x")
    (folder / "trajectories/.episode-0004.hdf5.part").write_bytes(b"x")
    for path in folder.glob("trajectories/episode-*.hdf5"):
        with h5py.File(path) as file:
            assert file["data"].attrs["total"] == next(iter(file["data"].values())).attrs["num_samples"]
    keep_measured(JobDirectory(folder, 1, resumed=True))
    assert [path.name for path in folder.iterdir()] == ["dataset.hdf5"]

    record(fake(), tmp_path, range(3, 6))
    with h5py.File(folder / "dataset.hdf5") as file:
        assert sorted(file["data"]) == [f"demo_{i}" for i in range(6)]
        assert file["data"].attrs["total"] == sum(d.attrs["num_samples"] for d in file["data"].values())


def test_a_rollout_that_is_cut_off_keeps_what_had_ended(tmp_path: Path) -> None:
    recorder, env = TrajectoryRecorder(), fake()
    env.step = lambda actions, step=env.step: step(actions) if env._base.t.max() < 4 else 1 / 0  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        record(env, tmp_path, range(6), recorder)
    assert recorder.close().hdf5_path == "job/dataset.hdf5"
    with h5py.File(tmp_path / "job/dataset.hdf5") as file:
        assert sorted(file["data"]) == ["demo_0", "demo_2", "demo_3"]
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["dataset.hdf5"]


def test_without_an_episode_there_is_no_dataset(tmp_path: Path) -> None:
    recorder = TrajectoryRecorder()
    assert recorder.close() == Recorded()
    _, recorded = record(fake(), tmp_path, [])
    assert recorded == Recorded()
    assert list((tmp_path / "job").iterdir()) == []


def test_a_full_disk_is_a_note_and_costs_the_rollout_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = trajectory.write_rows, []

    def write_rows(*args: Any) -> None:
        written.append(args)
        if len(written) > 8:
            raise OSError(28, "No space left on device")
        real(*args)

    monkeypatch.setattr(trajectory, "write_rows", write_rows)
    episodes, recorded = record(fake(), tmp_path)
    assert len(episodes) == 6
    assert recorded.hdf5_path == "job/dataset.hdf5"
    assert len(recorded.notes) == 1
    assert recorded.notes[0].startswith("trajectories are incomplete: episode ")
    assert "No space left on device" in recorded.notes[0]
    with h5py.File(tmp_path / "job/dataset.hdf5") as file:
        named = [int(e.trajectory.rpartition("_")[2]) for e in episodes if e.trajectory]
        assert sorted(file["data"]) == [f"demo_{i}" for i in named]
        assert len(named) == 2
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["dataset.hdf5"]


def test_a_dataset_that_cannot_be_put_together_stays_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collect(directory: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trajectory, "collect", collect)
    _, recorded = record(fake(), tmp_path)
    assert recorded.hdf5_path is None
    assert recorded.notes[0].startswith("the trajectories stay in job/trajectories, a file an episode")
    assert len(list((tmp_path / "job/trajectories").iterdir())) == 6


def test_steps_that_change_their_shape_end_the_recording(tmp_path: Path) -> None:
    env = fake()
    own, count = env._own, iter(range(1000))
    env._own = lambda observation: own(observation)[:, : 3 if next(count) < 6 else 2]  # type: ignore[method-assign]
    episodes, recorded = record(env, tmp_path, policy=Still(env))
    assert len(episodes) == 6
    assert recorded.notes == [
        "trajectories are incomplete: obs/policy: expected (3, 3) float64 as in the steps before, "
        "got (3, 2) float64"
    ]


def test_the_jobs_time_limit_is_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It rings wherever the loop is, also while a trajectory is written."""

    def ring(*args: Any) -> None:
        raise TimeIsUp

    monkeypatch.setattr(trajectory, "write_rows", ring)
    recorder = TrajectoryRecorder()
    with pytest.raises(TimeIsUp):
        record(fake(), tmp_path, range(6), recorder)
    assert recorder.close() == Recorded()
    assert list((tmp_path / "job").iterdir()) == []


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["a", "b.c", "ü x"], ["a", "b.c", "ü x"]),
        (["a/b", "a_b"], ["a_b-2", "a_b"]),
        (["a/b", "a\0b", "a_b", "a_b-2"], ["a_b-4", "a_b-3", "a_b", "a_b-2"]),
        ([1, "1"], ["1-2", "1"]),
        ([(1, "x"), None, 2.5, True], ["(1, 'x')", "None", "2.5", "True"]),
        (["", ".", ".."], ["_", "_-2", "__"]),
        (["\ud800"], ["_"]),
    ],
    ids=str,
)
def test_every_key_gets_a_name_of_its_own(tmp_path: Path, keys: list[Any], names: list[str]) -> None:
    found = hdf5_writer.safe_names(keys)
    assert sorted(map(str, found)) == sorted(map(str, keys))
    assert len(set(found.values())) == len(keys)
    assert sorted(found.values()) == sorted(names)
    assert {key: name for key, name in found.items() if key == name}.keys() == set(keys) & set(names)
    tree = {key: {"inner": np.full(1, i)} for i, key in enumerate(keys)}
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        hdf5_writer.write_tree(file, "state", tree)
        for i, key in enumerate(keys):
            assert file[f"state/{found[key]}/inner"][()] == [i]


class Odd(GymnasiumEnv):
    """Observations whose keys HDF5 does not take, and values that it does not."""

    def _own(self, observation: Any) -> Any:
        x = super()._own(observation)
        n = len(x)
        return {
            "a/b": x, "a": {"b": x + 1, "": x[:, 0]}, 1: x + 2, "1": x + 3, "scalar": 3.0, "nothing": {},
            "text": ("word",) * n, "objects": np.array([{}] * n, object), "when": np.zeros(n, "M8[s]"),
            "complex": x + 1j, "half": x.astype(np.float16), "flag": x > 1,
        }  # fmt: skip


def test_odd_keys_are_renamed_and_what_is_no_number_is_named(tmp_path: Path) -> None:
    class Plain(Telling):
        def act(self, observation: Any) -> Any:
            return np.array(observation["a/b"][:, 1:] + 0.5, np.float32)

    env = Odd(CountingVectorEnv(LENGTHS, SUCCESSES))
    env.single_observation_space = gymnasium.spaces.Dict({"text": gymnasium.spaces.Text(9)})
    episodes, recorded = record(env, tmp_path, policy=Plain(env))
    left_out, renamed = recorded.notes
    assert left_out == (
        "trajectories leave out what is no array of numbers: obs/complex (ndarray of complex128), obs/objects "
        "(ndarray of object), obs/scalar (float), obs/text (str of each row), obs/when (ndarray of datetime64[s])"
    )
    assert renamed.startswith("names in trajectories that HDF5 does not take are changed: ")
    assert "obs/a_b is ['a/b']" in renamed
    with h5py.File(tmp_path / "job/dataset.hdf5") as file:
        for episode in episodes:
            demo = file[f"data/demo_{episode.episode}"]
            at = [t[2] for t in demo["obs/a_b"][()].tolist()]
            assert at == list(range(episode.length))
            assert set(demo["obs"]) == set(demo["terminal_obs"]) == {"a_b", "a", "1", "1-2", "half", "flag"}
            base = demo["obs/a_b"][()]
            for name, more in (("a/b", 1), ("1-2", 2), ("1", 3)):
                assert np.array_equal(demo[f"obs/{name}"][()], base + more)
            assert np.array_equal(demo["obs/a/_"][()], base[:, 0])
            assert demo["obs/flag"].dtype == np.bool_


def test_actions_of_a_team_are_a_group(tmp_path: Path) -> None:
    class Team(GymnasiumEnv):
        def step(self, actions: Any) -> Any:
            return super().step(np.asarray(actions["arm/left"]))

    class Both(Telling):
        def act(self, observation: Any) -> Any:
            arm = np.array(observation[:, 1:] + 0.5, np.float32)
            return {"arm/left": arm, "grip": (observation[:, 2].astype(int),)}

    env = Team(CountingVectorEnv(LENGTHS, SUCCESSES))
    box = gymnasium.spaces.Box(-9, 9, (2,))
    grip = gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(99)])
    env.single_action_space = gymnasium.spaces.Dict({"arm/left": box, "grip": grip})
    episodes, recorded = record(env, tmp_path, policy=Both(env))
    (renamed,) = recorded.notes
    assert renamed.endswith("actions/arm_left is ['arm/left']")
    with h5py.File(tmp_path / "job/dataset.hdf5") as file:
        for episode in episodes:
            actions = file[f"data/demo_{episode.episode}/actions"]
            assert actions["grip/0"][()].tolist() == list(range(episode.length))
            assert actions["arm_left"][()][:, 1].tolist() == [t + 0.5 for t in range(episode.length)]
