"""Datasets as the tools that they are meant for read them, where those are installed."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from pytest_arena import TrajectoryRecorder, evaluate
from pytest_arena.records.hdf5_writer import link
from tests.jobs import make_job


@pytest.fixture(params=["whole", "linked"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A dataset of two episodes, or one that links to it as that of a sharded job does."""
    job = make_job(policy={"type": "random"}, rollout={"episodes": 2})
    record = evaluate(job, output=tmp_path, recorders=[TrajectoryRecorder()])
    (run,) = (path for path in tmp_path.iterdir() if not path.is_symlink())
    written = run / str(record.hdf5_path)
    if request.param == "whole":
        return written
    link(tmp_path / "linked.hdf5", [written])
    return tmp_path / "linked.hdf5"


def test_isaac_lab(path: Path) -> None:
    handlers = pytest.importorskip("isaaclab.utils.datasets", exc_type=ImportError)
    handler = handlers.HDF5DatasetFileHandler()
    handler.open(str(path))
    assert handler.get_env_name() == "CartPole-v1"
    assert handler.get_num_episodes() == 2
    assert list(handler.get_episode_names()) == ["demo_0", "demo_1"]
    episode = handler.load_episode("demo_1", "cpu")
    handler.close()
    with h5py.File(path) as file:
        demo = file["data/demo_1"]
        assert episode.seed == demo.attrs["seed"]
        assert np.array_equal(episode.data["actions"].numpy(), demo["actions"][()])
        assert np.array_equal(episode.data["obs"]["policy"].numpy(), demo["obs/policy"][()])
        assert int(episode.get_next_action()) == demo["actions"][0]


def test_robomimic(path: Path) -> None:
    utils = pytest.importorskip("robomimic.utils.obs_utils", exc_type=ImportError)
    dataset = pytest.importorskip("robomimic.utils.dataset", exc_type=ImportError)
    nothing: dict[str, list[str]] = {"low_dim": [], "rgb": []}
    utils.initialize_obs_utils_with_obs_specs({"obs": {**nothing, "low_dim": ["policy"]}, "goal": nothing})
    sequences = dataset.SequenceDataset(
        str(path),
        obs_keys=("policy",),
        dataset_keys=("rewards", "dones"),
        load_next_obs=False,
        seq_length=3,
        hdf5_use_swmr=True,
    )
    assert sequences.demos == ["demo_0", "demo_1"]
    read = sequences[0]
    sequences.close_and_delete_hdf5_handle()
    with h5py.File(path) as file:
        assert len(sequences) == file["data"].attrs["total"]
        first = file["data/demo_0"]
        assert np.array_equal(read["obs"]["policy"], first["obs/policy"][:3].astype(np.float32))
        assert np.array_equal(read["rewards"], first["rewards"][:3])
