"""Trajectories and films as a LeRobotDataset, read back by LeRobot, where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pytest_arena import evaluate, read_episodes
from pytest_arena.__main__ import main
from tests.jobs import make_job

SCRIPTED = "tests.registered:arena/Scripted-v0"


def exported(tmp_path: Path, capsys: pytest.CaptureFixture[str], **job: Any) -> tuple[Path, Path, list[str]]:
    """Evaluate a job and export it: returns the run, the folder of the dataset, and the notes."""
    evaluate(make_job("reach", **{"rollout": {"episodes": 3}, **job}), output=tmp_path / "runs")
    (run,) = (path for path in (tmp_path / "runs").iterdir() if not path.is_symlink())
    output = tmp_path / "datasets"
    capsys.readouterr()
    assert main(["export", str(run), "--to", "lerobot-dataset", "--output", str(output)]) == 0
    first, *notes = capsys.readouterr().out.splitlines()
    assert first == f"wrote {output / 'reach'}"
    return run, output / "reach", notes


def read(folder: Path) -> Any:
    module = pytest.importorskip("lerobot.datasets.lerobot_dataset")
    return module.LeRobotDataset("reach", root=folder)


def test_it_has_every_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lerobot.datasets.lerobot_dataset")
    environment = {"id": SCRIPTED, "num_envs": 2, "cameras": {"render": {}}}
    record = {"trajectory": True, "video": "on", "overview": False, "video_size": {"width": 64, "height": 64}}
    run, folder, notes = exported(
        tmp_path, capsys, environment=environment, record=record, language_instruction="open the door"
    )
    assert notes == ["reach: fps is 30, since a step's time is not known"]
    dataset = read(folder)
    assert (dataset.num_episodes, dataset.fps) == (3, 30)
    at = 0
    with h5py.File(run / "reach" / "dataset.hdf5") as file:
        for episode in read_episodes(run / "reach" / "episodes.jsonl"):
            demo = file[f"data/demo_{episode.episode}"]
            for step in range(episode.length):
                row = dataset[at]
                assert (int(row["episode_index"]), int(row["frame_index"])) == (episode.episode, step)
                assert row["task"] == "open the door"
                assert np.allclose(row["observation.state"], demo["obs/policy"][step])
                assert np.array_equal(row["action"], demo["actions"][step].astype(np.float32))
                assert float(row["next.reward"]) == demo["rewards"][step]
                last = step == episode.length - 1
                assert bool(row["next.done"]) == last
                assert bool(row["next.success"]) == (last and episode.outcome == "success")
                image = row["observation.images.render"]
                assert tuple(image.shape) == (3, 64, 64)
                assert abs(float(image.mean()) * 255 - 10 * step) < 4, "the image before the step"
                at += 1
    assert at == len(dataset)


def test_without_success_and_without_films_of_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lerobot.datasets.lerobot_dataset")
    environment = {"id": "CartPole-v1", "cameras": {"render": {}}, "max_episode_steps": 4}
    record = {"trajectory": True, "video": "on", "video_every": 2, "overview": False}
    _, folder, notes = exported(tmp_path, capsys, environment=environment, record=record)
    assert notes == [
        "reach: the images of camera 'render' are left out: 2 of 3 episodes have a faithful film "
        "(record.video: on keeps all)",
        "reach: no next.success, since success was not measured in every episode",
    ]
    dataset = read(folder)
    assert (dataset.fps, len(dataset)) == (50, 12)
    assert {"next.success", "observation.images.render"}.isdisjoint(dataset.features)
    assert dataset.features["action"]["dtype"] == "int64"


def test_what_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lerobot.datasets.lerobot_dataset")
    run, folder, _ = exported(tmp_path, capsys, environment={"id": SCRIPTED}, record={"trajectory": True})
    asked = ["export", str(run), "--to", "lerobot-dataset", "--output"]
    assert main([*asked, str(folder.parent)]) == 4
    assert "reach: expected a new folder, it exists" in capsys.readouterr().err
    (run / "reach" / "dataset.hdf5").write_bytes(b"no HDF5")
    assert main([*asked, str(tmp_path / "other")]) == 4
    told = capsys.readouterr().err
    assert "expected an HDF5 file" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "other" / "reach").exists()
