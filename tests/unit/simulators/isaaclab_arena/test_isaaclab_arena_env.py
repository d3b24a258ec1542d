"""The adapter on the stand-in of IsaacLab-Arena, in each generation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pytest_arena import EvaluationError, JobRecord, RecordingError, SimEnv, evaluate
from pytest_arena.simulators.pool import EnvironmentPool
from pytest_arena.simulators.registry import find_simulator
from pytest_arena.testing import SimEnvContract
from tests.arena_stand_in import arena_job

pytestmark = pytest.mark.stand_in

LENGTHS = (3, 5, 4, 2)
ENDS = ("success", "object_dropped", "time_out", "success")
ENDS_OF_ROWS = dict(enumerate(zip(LENGTHS, ENDS, strict=True)))
CAMERAS = {"cameras": {"head_camera_rgb": {}, "wrist_camera_rgb": {}}}


def make(lab: Any, **changes: Any) -> SimEnv:
    job = arena_job(**changes)
    find_simulator(job).launch(job)
    return find_simulator(job).make(job)


def manual(lab: Any) -> bool:
    return bool(lab.GENERATION >= (0, 3, 1))


def run_in(output: Path) -> Path:
    """Return the only run below *output*; a link beside it leads to it, too."""
    (run,) = (path for path in output.iterdir() if not path.is_symlink())
    return run


def lines(output: Path) -> list[dict[str, Any]]:
    """Return the episodes of the only job of the only run below *output*."""
    text = (run_in(output) / "job" / "episodes.jsonl").read_text()
    return sorted(map(json.loads, text.splitlines()), key=lambda e: e["episode"])


def log_of(lab: Any, *kinds: str) -> list[str]:
    return [entry[0] for entry in lab.LOG if entry[0] in kinds]


@pytest.mark.parametrize("environment", [{}, CAMERAS], ids=["states", "cameras"])
class TestContract(SimEnvContract):
    steps = 12

    @pytest.fixture
    def env(self, lab: Any, environment: dict[str, Any]) -> Iterator[SimEnv]:
        made = make(lab, environment=environment)
        yield made
        made.close()


# -- episodes


@pytest.mark.parametrize(("num_envs", "episodes"), [(4, 1), (3, 5), (2, 4), (1, 2), (4, 4), (4, 9)])
def test_exactly_the_wanted_episodes_are_counted_and_written(
    lab: Any, tmp_path: Path, num_envs: int, episodes: int
) -> None:
    job = arena_job(environment={"num_envs": num_envs}, rollout={"episodes": episodes})
    record = evaluate(job, output=tmp_path)
    found = lines(tmp_path)
    assert [e["episode"] for e in found] == list(range(episodes))
    for episode in found:
        row = episode["episode"] % num_envs
        length, end = ENDS_OF_ROWS[row]
        assert (episode["env_idx"], episode["length"], episode["end_reason"]) == (row, length, end)
        assert episode["return"] == sum(range(1, length + 1))
        assert episode["success_at_end"] is (end == "success")
        assert episode["end_step"] - episode["start_step"] == length - 1
    assert len(record.boundaries) == record.episodes["measured"] == episodes

    assert record.hdf5_path == "job/dataset.hdf5"
    run = run_in(tmp_path)
    with h5py.File(run / record.hdf5_path) as file:
        assert len(file["data"]) == episodes
        for episode in found:
            path, _, demo = episode["trajectory"].partition("#")
            assert path == record.hdf5_path
            index = episode["episode"] // num_envs  # of the row's own
            steps = [[episode["env_idx"], index, t] for t in range(1, episode["length"] + 1)]
            assert file[demo]["step"][:].tolist() == steps
            assert file[demo]["success"][:].tolist() == [episode["success_at_end"]]
            assert bool(file[demo].attrs["success"]) is episode["success_at_end"]


def test_every_reset_begins_an_episode(newest: Any, tmp_path: Path) -> None:
    evaluate(arena_job(rollout={"episodes": 6}), output=tmp_path)
    started = [row for rows, _ in newest.logged("reset") for row in rows]
    assert sorted(started) == [0, 0, 1, 1, 2, 3]
    assert not newest.logged("reset that starts nothing")
    assert [seed is not None for _, seed in newest.logged("reset")] == [True, False, False]


def test_where_rows_are_reset_by_themselves_there_is_one_reset(lab: Any, tmp_path: Path) -> None:
    evaluate(arena_job(rollout={"steps": 7}), output=tmp_path)
    assert [rows for rows, _ in lab.logged("reset")] == [[0, 1, 2, 3]]
    assert [e["env_idx"] for e in lines(tmp_path)] == [0, 1, 2, 3, 3, 0, 3]


def test_the_budget_is_announced_before_the_first_reset(newest: Any) -> None:
    env = make(newest)
    env.begin(5)
    env.reset(None, [0] * 4)
    base = env.unwrapped.unwrapped
    assert base._limit == 5
    assert base.episode_scheduler.num_episodes_started == 4
    env.close()


def test_idle_rows_count_for_nothing(newest: Any) -> None:
    env = make(newest)
    env.begin(2)
    env.reset(np.arange(2), [0, 0])
    for t in range(1, 8):
        step = env.step(np.zeros((4, 2), np.float32))
        assert step.valid.tolist() == [t <= 3, t <= 5, False, False]
        assert not (step.terminated | step.truncated)[~step.valid].any()
        assert not step.reward[~step.valid].any()
    assert env.unwrapped.unwrapped.episode_scheduler.num_episodes_completed == 2
    env.close()


def test_an_observation_before_the_reset_is_given_where_there_is_one(lab: Any) -> None:
    env = make(lab)
    assert env.capabilities.terminal_observation is (lab.GENERATION >= (0, 3))
    assert env.capabilities.autoreset == ("manual" if manual(lab) else "same_step")
    env.reset(None, [0] * 4)
    seen = set()
    for _ in range(5):
        step = env.step(np.zeros((4, 2), np.float32))
        for end in step.ends:
            if step.terminal_observation is None:
                continue
            state = step.terminal_observation["policy"][end.env_idx].tolist()
            seen.add(tuple(int(number) for number in state))
        if env.capabilities.autoreset == "manual" and step.ends:
            env.reset(np.array([end.env_idx for end in step.ends]))
    ended = {(3, 0, 2), (0, 0, 3), (2, 0, 4), (3, 1, 2), (1, 0, 5)}
    assert seen == (ended if lab.GENERATION >= (0, 3) else set())
    env.close()


# -- images


def test_images_are_the_observations_that_are_colours(lab: Any) -> None:
    env = make(lab, environment=CAMERAS)
    assert env.cameras.names == ("head_camera_rgb", "wrist_camera_rgb")
    assert env.capabilities.terminal_frame is (lab.GENERATION >= (0, 3))
    env.reset(None, [0] * 4)
    filmed = 0
    for t in range(1, 6):
        before = env.unwrapped.unwrapped.episode.tolist()
        step = env.step(np.zeros((4, 2), np.float32))
        ended = np.array([end.env_idx for end in step.ends], np.int64)
        last_frames = env.cameras.last_frames(ended)
        now = env.cameras.frames(np.arange(4))
        for index, row in enumerate(ended):
            last = (row, before[row], LENGTHS[row])
            assert (last_frames is not None) is (lab.GENERATION[:2] == (0, 3) and not manual(lab))
            for camera in env.cameras.names:
                if last_frames is not None:
                    filmed += 1
                    assert {tuple(p) for p in last_frames[camera][index].reshape(-1, 3)} == {last}
                shown = last if manual(lab) else (row, before[row] + 1, 0)
                assert {tuple(p) for p in now[camera][row].reshape(-1, 3)} == {shown}
        if step.ends and manual(lab):
            env.reset(np.array([end.env_idx for end in step.ends]))
        running = [row for row in range(4) if row not in {end.env_idx for end in step.ends}]
        for row in running:
            assert now["head_camera_rgb"][row, 0, 0, 0] == row
            assert now["head_camera_rgb"][row, 0, 0, 2] <= t
    assert filmed == (10 if lab.GENERATION == (0, 3, 0) else 0)
    env.close()


def test_the_size_of_a_camera_is_that_of_the_sensor_behind_it(lab: Any) -> None:
    env = make(lab, environment={"cameras": {"wrist_camera_rgb": {"width": 24, "height": 18}}})
    env.reset(None, [0] * 4)
    assert env.cameras.frames(np.arange(4))["wrist_camera_rgb"].shape == (4, 18, 24, 3)
    assert env.unwrapped.unwrapped.cfg.num_rerenders_on_reset == 1
    env.close()


def test_an_unknown_camera_is_named_and_leaves_nothing_behind(lab: Any) -> None:
    with pytest.raises(RecordingError, match=r"no camera 'wrist_camera' \(did you mean 'wrist_camera_rgb'"):
        make(lab, environment={"cameras": {"wrist_camera": {}}})
    assert log_of(lab, "close", "tear down") == ["tear down", "close"]


# -- numbers


def test_metrics_are_computed_once_and_in_both_shapes(lab: Any, tmp_path: Path) -> None:
    record = evaluate(arena_job(thresholds={"object_moved_rate": "0.2..0.3"}), output=tmp_path)
    assert len(lab.logged("compute_metrics")) == 1
    reported = {"object_moved_rate": 0.25, "subtask_success_rate.0": 0.25, "subtask_success_rate.1": 0.5}
    assert {name: record.metrics[name] for name in reported} == reported
    assert record.metrics["success_rate"] == 0.5
    assert "num_episodes" not in record.metrics
    # What is no number is null, with a reason, and no JSON that is none.
    assert record.metrics["path_length"] is None
    assert record.unmeasured["path_length"] == "the simulator reported no finite value"
    assert "NaN" not in (run_in(tmp_path) / "job" / "record.json").read_text()


def test_a_threshold_on_what_could_not_be_computed_is_an_error(newest: Any, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="path_length < 3 cannot be judged: the simulator reported no"):
        evaluate(arena_job(thresholds={"path_length": "< 3"}), output=tmp_path)


def test_values_of_any_kind(newest: Any, tmp_path: Path) -> None:
    values = {"a": None, "b": {"x": True, "y": [1, None]}, "c": "words", "d": float("inf")}
    record = evaluate(arena_job(args={"metrics": values}), output=tmp_path)
    found = {name: record.metrics[name] for name in ("a", "b.x", "b.y.0", "b.y.1", "d")}
    assert found == {"a": None, "b.x": 1.0, "b.y.0": 1.0, "b.y.1": None, "d": None}
    assert not {"b", "c"} & set(record.metrics)


def test_an_environment_without_recorders_has_no_metrics_and_no_file(newest: Any, tmp_path: Path) -> None:
    record = evaluate(arena_job(args={"recorders": False}), output=tmp_path)
    assert record.hdf5_path is None
    assert not newest.logged("compute_metrics")
    assert record.metrics["success_rate"] == 0.5
    assert {e["trajectory"] for e in lines(tmp_path)} == {None}


# -- what Arena records of an episode


@pytest.mark.parametrize("rollout", [{"episodes": 6}, {"steps": 7}], ids=["episodes", "steps"])
def test_what_arena_records_of_an_episode_is_in_its_line(newest: Any, tmp_path: Path, rollout: Any) -> None:
    """Where rows wait for their reset, and where they are reset by themselves."""
    evaluate(arena_job(rollout=rollout), output=tmp_path)
    found = lines(tmp_path)
    begun: dict[int, int] = {}
    for episode in found:
        row, success = episode["env_idx"], episode["success_at_end"]
        index = begun.get(row, 0)
        begun[row] = index + 1
        assert episode["details"]["variations"] == {"light.intensity": 100.0 * row + index}
        assert episode["details"]["progress"]["all_complete"] is success
        assert episode["metrics"]["progress.score"] == (1.0 if success else 0.25)
        assert episode["metrics"]["progress.score.lifted"] == 0.5
        assert episode["metrics"]["subtask_1.progress.score"] is None
        assert not {"job_name", "env_id", "seed", "success", "episode_length"} & set(episode["details"])
    written = (run_in(tmp_path) / "job" / "episode_results_rebuild0.jsonl").read_text().splitlines()
    assert len(written) == len(found)
    assert {json.loads(line)["job_name"] for line in written} == {"job"}


def test_scores_of_progress_are_metrics_of_the_job(newest: Any, tmp_path: Path) -> None:
    """Over the episodes that count: two of four rows succeed."""
    record = evaluate(arena_job(thresholds={"progress.score": "0.62..0.63"}), output=tmp_path)
    assert record.metrics["progress.score"] == 0.625
    assert record.metrics["progress.score.lifted"] == 0.5
    assert record.metrics["subtask_1.progress.score"] is None


def test_arenas_own_records_are_one_file_a_rebuild(newest: Any, tmp_path: Path) -> None:
    job = arena_job(args={"recorders": False}, rollout={"episodes": 5, "rebuilds": 2})
    evaluate(job, output=tmp_path)
    folder = run_in(tmp_path) / "job"
    counts = [len((folder / f"episode_results_rebuild{k}.jsonl").read_text().splitlines()) for k in (0, 1)]
    assert counts == [3, 2]
    assert [e["details"]["variations"]["light.intensity"] for e in lines(tmp_path)] == [0, 100, 200, 0, 100]


def test_recorded_variations_are_replayed_once_each(newest: Any, tmp_path: Path) -> None:
    evaluate(arena_job(rollout={"episodes": 5, "rebuilds": 2}), output=tmp_path / "recorded")
    folder = run_in(tmp_path / "recorded") / "job"
    files = [str(folder / f"episode_results_rebuild{k}.jsonl") for k in (0, 1)]
    job = arena_job(
        environment={"num_envs": 2, "options": {"recorded_variations": files}},
        rollout={"episodes": 5, "rebuilds": 2},
    )
    evaluate(job, output=tmp_path / "replayed")
    for rebuild in (0, 1):
        recorded = [json.loads(line)["variations"] for line in Path(files[rebuild]).read_text().splitlines()]
        replayed = [e["details"] for e in lines(tmp_path / "replayed") if e["rebuild"] == rebuild]
        indices = [details["replay_source_record_index"] for details in replayed]
        assert sorted(indices) == list(range(len(recorded)))
        assert [details["variations"] for details in replayed] == [recorded[index] for index in indices]


# -- one job, one environment


def test_rebuilds_have_seeds_of_their_own_and_share_no_file(lab: Any, tmp_path: Path) -> None:
    job = arena_job(
        environment={"seed": 42, "num_envs": 2},
        rollout={"episodes": 5, "rebuilds": 2},
        policy={"type": "gr00t_closedloop", "policy_config_yaml_path": "x.yaml"},
    )
    record = evaluate(job, output=tmp_path)
    assert [(seed, n) for seed, n, _ in lab.logged("make")] == [(42, 2), (43, 2)]
    assert len(lab.logged("compute_metrics")) == 2
    assert [episodes for episodes, _ in record.reported] == [3, 2]
    assert {e["rebuild"]: e["trajectory"].partition("#")[0] for e in lines(tmp_path)} == {
        0: "job/dataset.hdf5",
        1: "job/dataset-1.hdf5",
    }
    one = ["tear down", "stop", "stop the timeline", "new stage", "close"]
    assert log_of(lab, "make", "policy.close", *one) == ["make", *one, "make", "policy.close", *one]
    # The policy is the same object, and is told to begin anew with each environment.
    assert len(lab.logged("policy")) == 1
    assert [ids for (ids,) in lab.logged("policy.reset") if ids is None] == [None, None]


def test_a_job_gets_an_environment_that_no_other_has_used(newest: Any) -> None:
    pool, job = EnvironmentPool(), arena_job()
    first = pool.get(job)
    assert pool.get(job) is first
    first.begin(3)
    second = pool.get(job)
    assert second is not first
    second.begin(4)
    assert second.unwrapped.unwrapped._limit == 4
    pool.clear()
    assert log_of(newest, "make", "close") == ["make", "close", "make", "close"]


def test_a_job_that_fails_leaves_its_record_its_file_and_its_boundaries(lab: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the simulator broke"):
        evaluate(arena_job(args={"broken_at": 5}), output=tmp_path)
    data = json.loads((run_in(tmp_path) / "job" / "record.json").read_text())
    record = JobRecord.from_json(data)
    assert (record.status, record.hdf5_path) == ("error", "job/dataset.hdf5")
    assert [(b["env_idx"], b["start_step"], b["end_step"]) for b in record.boundaries] == [
        (0, 0, 2),
        (2, 0, 3),
        (3, 0, 1),
        (3, 2, 3),
    ]
    assert "the simulator broke" in record.error["message"]
    run = run_in(tmp_path)
    with h5py.File(run / record.hdf5_path) as file:
        assert len(file["data"]) == 4
    assert log_of(lab, "make", "close") == ["make", "close"]


def test_what_cannot_be_built_leaves_room_for_the_next(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(lab)
    env.close()
    envs = __import__("isaaclab.envs").envs
    monkeypatch.setattr(envs.ManagerBasedRLEnv, "load_managers", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        find_simulator(arena_job()).make(arena_job())
    monkeypatch.undo()
    assert __import__("isaaclab.sim").sim.SimulationContext.instance() is None


def test_the_instruction_is_the_jobs_or_the_tasks(lab: Any, tmp_path: Path) -> None:
    policy = {"type": "gr00t_closedloop", "policy_config_yaml_path": "x.yaml"}
    env = make(lab)
    assert env.task_description == "open the microwave"
    env.close()
    evaluate(arena_job(policy=policy, language_instruction="shut it"), output=tmp_path)
    assert lab.logged("task") == [("shut it",)]
    assert lab.logged("builder")[-1][1].language_instruction == "shut it"


def test_the_horizon_is_set(lab: Any, tmp_path: Path) -> None:
    evaluate(arena_job(environment={"max_episode_steps": 3}, rollout={"episodes": 4}), output=tmp_path)
    assert [(e["length"], e["end_reason"]) for e in lines(tmp_path)] == [
        (3, "time_out"),
        (3, "time_out"),
        (3, "time_out"),
        (2, "success"),
    ]
