"""HDF5 files from anybody: nothing of other files is read, and nothing is larger than it can be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pytest_arena import EvaluationError, JobFileError
from pytest_arena.evaluation.validate import validate
from pytest_arena.records.hdf5_reader import DatasetReader, require_own_data
from pytest_arena.records.hdf5_writer import link
from tests.jobs import make_job

ACTIONS = np.linspace(0, 1, 20, dtype=np.float32).reshape(10, 2)


def write(path: Path, fill: Callable[[Any], Any] | None = None) -> Path:
    """Write a dataset of demo_0, whose actions *fill* writes in their group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        if fill is None:
            demo["actions"] = ACTIONS
        else:
            fill(demo)
    return path


def virtual(demo: Any) -> None:
    layout = h5py.VirtualLayout((10, 2), np.float32)
    layout[:] = h5py.VirtualSource("secret.hdf5", "data/demo_0/actions", (10, 2))
    demo.create_virtual_dataset("actions", layout)


def deep(demo: Any) -> None:
    demo.create_group("/".join(["actions", *["a"] * 40]))["b"] = ACTIONS


def cyclic(demo: Any) -> None:
    group = demo.create_group("actions")
    group["again"] = group


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (lambda demo: None, "expected a dataset data/demo_0/actions, there is none"),
        (lambda demo: demo.create_group("actions"), "expected a dataset data/demo_0/actions, there is none"),
        (
            lambda demo: demo.create_dataset("actions", (10, 2), "f4", external=[("secret", 0, 80)]),
            "expected data in the file itself, /data/demo_0/actions has it in secret",
        ),
        (virtual, "expected data in the file itself, /data/demo_0/actions is a virtual dataset"),
        (
            lambda demo: demo.__setitem__("actions", h5py.ExternalLink("secret.hdf5", "/x")),
            "expected data in the file itself, /data/demo_0/actions is a link to secret.hdf5:/x",
        ),
        (
            lambda demo: demo.__setitem__("actions", h5py.SoftLink("/data/demo_0/actions")),
            "/data/demo_0/actions is a link to /data/demo_0/actions",
        ),
        (lambda demo: demo.create_dataset("actions", data=["a", "b"]), "expected numbers in"),
        (lambda demo: demo.create_dataset("actions", (3, 2), "c8"), "expected numbers in"),
        (lambda demo: demo.create_dataset("actions", (3,), h5py.ref_dtype), "expected numbers in"),
        (lambda demo: demo.create_dataset("actions", (3,), [("x", "f4")]), "expected numbers in"),
        (
            lambda demo: demo.create_dataset("actions", data=1.0),
            r"expected at least one row in .*, got the shape \(\)",
        ),
        (lambda demo: demo.create_dataset("actions", (0, 2), "f4"), "expected at least one row in"),
        (lambda demo: demo.create_dataset("actions", data=h5py.Empty("f4")), "expected at least one row in"),
        (
            lambda demo: demo.create_dataset(
                "actions", (10**12, 2), "f4", chunks=(64, 2), compression="gzip"
            ),
            "expected 8000000000000 bytes in .*, got 0",
        ),
        (
            lambda demo: demo.create_dataset("actions", (10**9, 2), "f4"),
            "expected 8000000000 bytes in .*, got 0",
        ),
        (deep, "expected a dataset data/demo_0/actions"),
        (cyclic, "expected a dataset data/demo_0/actions"),
    ],
)
def test_actions_that_are_none_of_this_file(tmp_path: Path, fill: Any, words: str) -> None:
    dataset = DatasetReader(write(tmp_path / "d.hdf5", fill))
    with pytest.raises(EvaluationError, match=words) as raised:
        dataset.length(0)
    assert "\n" not in str(raised.value)
    dataset.close()
    policy = {"type": "replay", "dataset": str(tmp_path / "d.hdf5")}
    with pytest.raises(JobFileError, match=words):
        validate(make_job(policy=policy, rollout={"episodes": 1}))


def test_one_chunk_that_unpacks_to_much(tmp_path: Path) -> None:
    def fill(demo: Any) -> None:
        made = demo.create_dataset("actions", (2**25, 1), "f4", chunks=(2**25, 1), compression="gzip")
        made[:] = 0

    with pytest.raises(EvaluationError, match="expected rows in pieces of at most 64 MiB"):
        DatasetReader(write(tmp_path / "d.hdf5", fill)).length(0)


def test_actions_of_mixed_shapes(tmp_path: Path) -> None:
    path = write(tmp_path / "d.hdf5")
    with h5py.File(path, "a") as file:
        file["data/demo_1/actions"] = np.zeros((5, 3))
    with pytest.raises(JobFileError, match=r"demo_0 has actions \(2,\), demo_1 has actions \(3,\)"):
        validate(make_job(policy={"type": "replay", "dataset": str(path)}, rollout={"episodes": 2}))


@pytest.mark.parametrize(
    ("value", "words"),
    [([1, 2], "expected a single value as seed"), (np.array([b"x"] * 3), "a single value")],
)
def test_attributes_that_are_no_single_value(tmp_path: Path, value: Any, words: str) -> None:
    path = write(tmp_path / "d.hdf5")
    with h5py.File(path, "a") as file:
        file["data/demo_0"].attrs["seed"] = value
        file["data"].attrs["arena"] = "[" * 5000
    dataset = DatasetReader(path)
    with pytest.raises(EvaluationError, match=words):
        dataset.attribute(0, "seed")
    assert dataset.about == {}


@pytest.mark.parametrize("name", ["demo_01", "demo_²", "demo_" + "9" * 5000, "demo_-1"])
def test_names_that_are_no_episodes(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "d.hdf5")
    with h5py.File(path, "a") as file:
        file["data"].create_group(name)
    assert DatasetReader(path).episodes == [0]


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "d.hdf5")
    with pytest.raises(EvaluationError, match=r"expected an HDF5 file, .* got a (pipe|folder|device)"):
        DatasetReader(tmp_path / "d.hdf5")


def test_the_whole_group_is_elsewhere(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        file["data"] = h5py.ExternalLink(str(write(tmp_path / "other.hdf5")), "/data")
    with pytest.raises(EvaluationError, match="/data is a link to"):
        DatasetReader(tmp_path / "d.hdf5")


def test_a_sharded_jobs_dataset_leads_to_those_of_its_shards_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shard = write(run / "a-shard0of2" / "dataset.hdf5")
    (run / "a").mkdir()
    joined = run / "a" / "dataset.hdf5"
    link(joined, [shard])
    moved = tmp_path / "moved"
    shutil.move(run, moved)
    for path in (moved / "a" / "dataset.hdf5",):
        dataset = DatasetReader(path)
        assert dataset.actions(0, 0, 3).tolist() == ACTIONS[:3].tolist()
        dataset.close()
        require_own_data(path)
    outside = write(tmp_path / "dataset.hdf5")
    inside = moved / "a" / "dataset.hdf5"
    for target, place in [
        (str(moved / "a-shard0of2" / "dataset.hdf5"), "/data/demo_0"),
        ("../../dataset.hdf5", "/data/demo_0"),
        ("../a-shard0of2/dataset.hdf5", "/data"),
        ("../a-shard0of2/nowhere.hdf5", "/data/demo_0"),
    ]:
        with h5py.File(inside, "w") as file:
            file.create_group("data")["demo_0"] = h5py.ExternalLink(target, place)
        with pytest.raises(EvaluationError, match="or in the dataset of a shard beside it"):
            DatasetReader(inside).length(0)
        with pytest.raises(EvaluationError, match="or in the dataset of a shard beside it"):
            require_own_data(inside)
    (moved / "a-shard0of2" / "dataset.hdf5").unlink()
    (moved / "a-shard0of2" / "dataset.hdf5").symlink_to(outside)
    with h5py.File(inside, "w") as file:
        file.create_group("data")["demo_0"] = h5py.ExternalLink("../a-shard0of2/dataset.hdf5", "/data/demo_0")
    with pytest.raises(EvaluationError, match="or in the dataset of a shard beside it"):
        DatasetReader(inside).length(0)


@pytest.mark.parametrize(
    "fill", [virtual, deep, lambda demo: demo.__setitem__("x", h5py.SoftLink("/nowhere"))]
)
def test_a_file_that_leads_elsewhere_anywhere(tmp_path: Path, fill: Any) -> None:
    with pytest.raises(EvaluationError):
        require_own_data(write(tmp_path / "d.hdf5", fill))
