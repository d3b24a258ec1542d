"""Whole jobs on Meta-World: the same numbers on any machine shape, and films that hold every step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("metaworld", reason="pip install 'pytest-arena[metaworld]'")

import av

from pytest_arena import Job, VideoRecorder, evaluate
from pytest_arena.recorders.films.mp4 import Mp4File
from pytest_arena.simulators.mujoco.metaworld import MetaworldSimulator
from pytest_arena.simulators.mujoco.rendering import Renderer
from pytest_arena.testing import SimEnvContract

SHAPE_DEPENDENT = ("env_idx", "start_step", "end_step", "started_at", "wall_time_seconds", "videos", "job")


def job(num_envs: int, **changes: Any) -> Job:
    data: dict[str, Any] = {
        "name": "job",
        "simulator": "metaworld",
        "environment": {"id": "reach-v3", "num_envs": num_envs, "seed": 3, "max_episode_steps": 60},
        "policy": {"type": "metaworld_expert", "noise": 0.3},
        "rollout": {"episodes": 9},
    }
    return Job.model_validate({**data, **changes})


def lines(output: Path, made: Job, recorders: Any = ()) -> list[dict[str, Any]]:
    record = evaluate(made, output=output, recorders=recorders)
    (run,) = (path for path in output.iterdir() if not path.is_symlink())
    parsed = [json.loads(line) for line in (run / str(record.episodes_path)).read_text().splitlines()]
    return sorted(parsed, key=lambda e: e["episode"])


def comparable(episodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in e.items() if k not in SHAPE_DEPENDENT} for e in episodes]


def test_the_same_episodes_with_1_3_and_8_environments(tmp_path: Path) -> None:
    told = [comparable(lines(tmp_path / str(n), job(n))) for n in (1, 3, 8)]
    assert told[0] == told[1] == told[2]
    assert len({e["seed"] for e in told[0]}) == 9
    assert len({e["return"] for e in told[0]}) > 5


def test_any_number_of_rebuilds_gives_the_same_episodes(tmp_path: Path) -> None:
    """With as many rebuilds as episodes, each episode has an environment of its own; then with a film."""
    told = []
    for n, films in ((1, "off"), (3, "on")):
        environment = {
            "id": "reach-v3", "num_envs": n, "seed": 3, "max_episode_steps": 20,
            "cameras": {"corner2": {"width": 64, "height": 48}},
        }  # fmt: skip
        rebuilt = {"episodes": 5, "rebuilds": 5}
        made = job(n, environment=environment, rollout=rebuilt, record={"video": films})
        told.append(comparable(lines(tmp_path / films, made)))
        assert len(list(tmp_path.glob("*/*/job/videos/episode-*.mp4"))) == (5 if films == "on" else 0)
    assert told[0] == told[1]
    assert [e["rebuild"] for e in told[0]] == [0, 1, 2, 3, 4]
    assert len({e["seed"] for e in told[0]}) == 5


def test_an_odd_film_holds_every_step(tmp_path: Path) -> None:
    environment = {
        "id": "reach-v3", "num_envs": 3, "seed": 3, "max_episode_steps": 40,
        "cameras": {"corner2": {"width": 65, "height": 49}},
    }  # fmt: skip
    made = job(3, environment=environment, rollout={"episodes": 4})
    episodes = lines(tmp_path, made, [VideoRecorder("on")])
    (run,) = (path for path in tmp_path.iterdir() if not path.is_symlink())
    for episode in episodes:
        with av.open(str(run / episode["videos"]["corner2"])) as film:
            images = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert len(images) == episode["length"] + 1
        assert images[0].shape == (50, 66, 3)
        assert np.abs(images[0].astype(int) - images[-1].astype(int)).max() > 20, "the hand has moved"


def test_replayed_frames_are_the_live_ones_pixel_for_pixel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Peg insertion has contacts, the door moves a joint at its reset: what could differ, would."""
    write, shot = Mp4File.write, {}

    def noted(self: Mp4File, frame: np.ndarray) -> None:
        shot.setdefault(self.path.name, []).append(frame.tobytes())
        write(self, frame)

    monkeypatch.setattr(Mp4File, "write", noted)
    for task in ("peg-insert-side-v3", "door-close-v3"):
        environment = {
            "id": task, "num_envs": 2, "seed": 3, "max_episode_steps": 20,
            "cameras": {"corner2": {"width": 48, "height": 32}},
        }  # fmt: skip
        made = job(2, environment=environment, rollout={"episodes": 3})
        told, films = [], []
        for video in ("on", "retain-on-failure"):
            shot.clear()
            episodes = lines(tmp_path / task / video, made, [VideoRecorder(video)])  # type: ignore[arg-type]
            told.append(comparable(episodes))
            films.append(dict(shot))
        assert told[0] == told[1]
        failed = {Path(p).name for e in episodes if e["outcome"] == "failure" for p in e["videos"].values()}
        assert len(failed) >= 2
        assert films[1] == {name: frames for name, frames in films[0].items() if name in failed}


def test_cameras_that_are_not_filmed_are_not_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render, cameras = Renderer.render, set()

    def noted(self: Renderer, model: Any, data: Any, camera: str, width: int, height: int) -> Any:
        cameras.add(camera)
        return render(self, model, data, camera, width, height)

    monkeypatch.setattr(Renderer, "render", noted)
    sizes = {"corner2": {"width": 16, "height": 16}, "topview": {"width": 16, "height": 16}}
    environment = {"id": "reach-v3", "max_episode_steps": 5, "cameras": sizes}
    made = job(1, environment=environment, rollout={"episodes": 1})
    lines(tmp_path, made, [VideoRecorder("on", ["topview"])])
    assert cameras == {"topview"}


@pytest.mark.parametrize("task", ["window-close-v3", "drawer-close-v3"])
def test_a_reset_that_only_looks_like_success_is_none(task: str) -> None:
    """These tasks move a joint at reset and leave the bodies where the last episode had them."""
    env = MetaworldSimulator().make(job(2, environment={"id": task, "num_envs": 2}))
    assert env.reset(None, [1, 2]).success.tolist() == [0, 0]
    env.close()


class TestContract(SimEnvContract):
    steps = 30

    @pytest.fixture
    def env(self) -> Any:
        environment = {"id": "reach-v3", "num_envs": 2, "max_episode_steps": 12}
        made = MetaworldSimulator().make(job(2, environment=environment))
        yield made
        made.close()
