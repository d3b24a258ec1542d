"""Recordings for the Rerun viewer, read back with Rerun's own reader: each number is where it belongs."""

from __future__ import annotations

import io
import resource
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from pytest_arena import Episode, Outcome, RolloutContext, SimEnv, TrajectoryRecorder, evaluate
from pytest_arena.guards.deadline import Deadline
from pytest_arena.rollout.loop import Loop, Observers
from pytest_arena.rollout.schedule import fixed_schedule
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv
from tests.fakes import CountingVectorEnv
from tests.jobs import make_job
from tests.unit.recorders.test_trajectory import LENGTHS, MODES, SUCCESSES, Keyed, Telling

pytest.importorskip("rerun")
from pytest_arena.recorders import rerun as module
from pytest_arena.recorders.rerun import RerunRecorder

SCRIPTED = "tests.registered:arena/Scripted-v0"


def read(path: Path) -> dict[str, dict[int, Any]]:
    """Entity -> step -> what was logged: numbers, or the bytes of an image; texts are at step -1."""
    from rerun.chunk import RrdReader

    found: dict[str, dict[int, Any]] = {}
    for chunk in RrdReader(path).stream().to_chunks():
        batch = chunk.to_record_batch()
        steps = [-1] * batch.num_rows if chunk.is_static else batch.column("step").to_pylist()
        for name in ("Scalars:scalars", "EncodedImage:blob", "TextDocument:text", "Tensor:data"):
            if name in batch.schema.names:
                for step, value in zip(steps, batch.column(name).to_pylist(), strict=True):
                    entity = found.setdefault(chunk.entity_path.lstrip("/"), {})
                    assert step not in entity, "logged twice"
                    entity[step] = value
    return found


def roll_out(env: SimEnv, run: Path, recorders: list[Any], **changes: Any) -> list[Episode]:
    job = make_job(rollout={"episodes": 6}, environment={"id": "CartPole-v1", "seed": 3}, **changes)
    (run / "job").mkdir(parents=True)
    context = RolloutContext(job, "job", 1, run / "job", run, env)
    schedule = fixed_schedule(range(6), job.environment, rebuild=0, num_envs=env.num_envs, seeded=False)
    for recorder in recorders:
        recorder.start(context)
    loop = Loop(context, Telling(env), schedule, Observers((), recorders))
    loop.run(Deadline(None))
    return sorted(loop.episodes, key=lambda e: e.episode)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_what_is_in_a_recording_is_what_is_in_the_trajectory(mode: AutoresetMode, tmp_path: Path) -> None:
    recorders = [TrajectoryRecorder(), RerunRecorder()]
    keyed = mode is not AutoresetMode.SAME_STEP
    env = (Keyed if keyed else GymnasiumEnv)(CountingVectorEnv(LENGTHS, SUCCESSES, mode))
    ours, theirs = ("observation/inner/x", "obs/inner/x") if keyed else ("observation", "obs/policy")
    episodes = roll_out(env, tmp_path, recorders, language_instruction="count")
    trajectory, left = (recorder.close() for recorder in recorders)
    left_out = (
        "recordings for Rerun leave out what is no array of numbers: observation/words (ndarray of <U4)"
    )
    assert left.notes == [left_out] * keyed
    with h5py.File(tmp_path / str(trajectory.hdf5_path)) as file:
        for episode in episodes:
            assert episode.rerun == f"job/rerun/episode-{episode.episode:04d}-env{episode.env_idx}.rrd"
            found, demo = read(tmp_path / episode.rerun), file[f"data/demo_{episode.episode}"]
            n = episode.length
            assert found["instruction"] == {-1: ["count"]}
            assert f"outcome: {episode.outcome}" in found["episode"][-1][0]
            assert _rows(found["action"], range(n)) == demo["actions"][()].astype(float).tolist()
            assert [value for (value,) in _rows(found["reward"], range(1, n + 1))] == demo["rewards"][
                ()
            ].tolist()
            assert [value for (value,) in _rows(found["success"], range(1, n + 1))][-1] == (
                episode.outcome == Outcome.SUCCESS
            )
            x, seen = found[ours], demo[theirs][()].tolist()
            assert _rows(x, range(n)) == seen
            assert ("terminal_obs" in demo) == (n in x)
            if n in x:
                assert x[n] == demo[f"terminal_{theirs}"][0].tolist()
            if keyed:
                assert sorted(found["observation/camera"]) == sorted(x)
    assert {path.name for path in (tmp_path / "job" / "rerun").iterdir()} == {
        Path(str(episode.rerun)).name for episode in episodes
    }


def _rows(entity: dict[int, Any], steps: range) -> list[Any]:
    return [entity[step] for step in steps]


def test_images_of_cameras(tmp_path: Path) -> None:
    from PIL import Image

    job = make_job(
        environment={"id": SCRIPTED, "cameras": {"render": {}}, "num_envs": 2},
        record={"rerun": True, "video": "on", "overview": False},
    )
    evaluate(job, output=tmp_path)
    (run,) = (path for path in tmp_path.iterdir() if not path.is_symlink())
    for episode in _lines(run):
        images = read(run / str(episode.rerun))["camera/render"]
        assert sorted(images) == list(range(episode.length + 1))
        for step, (blob,) in images.items():
            image = np.asarray(Image.open(io.BytesIO(bytes(blob))))
            assert image.shape == (17, 15, 3)
            assert abs(image.astype(int) - 10 * step).max() <= 1
        assert len(episode.videos) == 1, "films are made beside it"


def _lines(run: Path) -> list[Episode]:
    from pytest_arena import read_episodes

    return read_episodes(run / "job" / "episodes.jsonl")


def test_recordings_of_successes_are_deleted_where_only_failures_are_kept(tmp_path: Path) -> None:
    job = make_job(
        environment={"id": SCRIPTED}, record={"rerun": "retain-on-failure"}, rollout={"episodes": 8}
    )
    evaluate(job, output=tmp_path)
    (run,) = (path for path in tmp_path.iterdir() if not path.is_symlink())
    episodes = _lines(run)
    assert {e.outcome for e in episodes} == {Outcome.SUCCESS, Outcome.FAILURE}
    kept = {e.rerun for e in episodes if e.outcome == Outcome.FAILURE}
    assert {e.rerun for e in episodes} == {None, *kept}
    assert {path.relative_to(run).as_posix() for path in (run / "job" / "rerun").iterdir()} == kept


def test_the_rows_and_episodes_of_films_are_recorded(tmp_path: Path) -> None:
    record = {"rerun": True, "video": "off", "video_every": 2, "video_environments": [1]}
    job = make_job(environment={"id": SCRIPTED, "num_envs": 2}, record=record, rollout={"episodes": 9})
    evaluate(job, output=tmp_path)
    (run,) = (path for path in tmp_path.iterdir() if not path.is_symlink())
    episodes = _lines(run)
    wanted = {e.episode for e in episodes if e.episode % 2 == 0 and e.env_idx == 1}
    assert {e.episode for e in episodes if e.rerun is not None} == wanted != set()


def test_a_recording_of_an_episode_that_never_ended_is_no_file(tmp_path: Path) -> None:
    job = make_job(
        environment={"id": SCRIPTED, "options": {"make": {"fail_at": 2}}},
        record={"rerun": True, "video": "off"},
    )
    with pytest.raises(RuntimeError, match="broke"):
        evaluate(job, output=tmp_path)
    (run,) = (path for path in tmp_path.iterdir() if not path.is_symlink())
    assert not (run / "job" / "rerun").exists()
    assert [episode.rerun for episode in _lines(run)] == [None]


def test_a_full_disk_costs_the_recordings_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(directory: Path, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "require_room", full)
    record = evaluate(make_job(environment={"id": SCRIPTED}, record={"rerun": True}), output=tmp_path)
    assert record.episodes["measured"] == 4
    assert "recordings for Rerun are incomplete: OSError: [Errno 28] No space left on device" in record.notes
    (run,) = (path for path in tmp_path.iterdir() if not path.is_symlink())
    assert not (run / "job" / "rerun").exists()


def test_steps_go_to_disk_while_the_episode_runs(tmp_path: Path) -> None:
    """256 MiB go through a few: the file grows with the episode, and the memory does not."""
    from pytest_arena.recorders.rerun import FLUSH_BYTES
    from pytest_arena.rollout.schedule import EpisodeStart
    from pytest_arena.simulators.base import Step
    from tests.film_fakes import FakeEnv

    env, steps, rng = FakeEnv([[100]], cameras=()), 64, np.random.default_rng(0)
    recorder = RerunRecorder()
    (tmp_path / "job").mkdir()
    recorder.start(RolloutContext(make_job(), "job", 1, tmp_path / "job", tmp_path, env))
    big = rng.standard_normal((1, 4 << 17))  # 4 MiB
    rows, no = np.array([0]), np.zeros(1, np.bool_)
    recorder.on_reset(rows, [EpisodeStart(0, 0, 1, 1)], big)
    before, sizes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    (part,) = (tmp_path / "job" / "rerun").iterdir()
    assert part.name == ".episode-0000-env0.rrd.part"
    for _ in range(steps):
        recorder.on_step(rows, np.zeros(1), Step(big, np.ones(1), no, no, ~no, np.zeros(1, np.int8)))
        sizes.append(part.stat().st_size)
    logged = big.nbytes * np.arange(2, steps + 2)
    assert (logged - sizes).max() <= 2 * FLUSH_BYTES
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 128 << 10
    assert recorder.close().notes == []
    assert not (tmp_path / "job" / "rerun").exists()
