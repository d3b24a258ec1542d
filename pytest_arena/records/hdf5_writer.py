"""Trajectories in HDF5, laid out as the tools of robomimic and Isaac Lab read them.

Group ``data``, with the attributes ``total`` (steps of all episodes) and ``env_args`` (JSON with
``env_name``, ``type`` and ``env_kwargs``), holds a group ``demo_<episode>`` for each episode, with the
attributes ``num_samples``, ``success`` and ``seed`` and the datasets ``actions``, ``rewards``, ``dones`` and
``obs/…``, each with a row a step. ``initial_state/…`` and ``terminal_obs/…`` have a single row, and are
there where the simulator can tell.

While a job runs, each finished episode is a whole file of its own: a killed process leaves only readable
ones. `collect` puts them together.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pytest_arena.records.disk_space import require_room
from pytest_arena.records.files import DATASET, TRAJECTORIES

GYM_TYPE = 2
"""robomimic's number for an environment with Gymnasium's interface; Isaac Lab writes the same."""
CHUNK_BYTES, WRITE_BYTES = 1 << 18, 1 << 22
IMAGE_NDIM = 4
"""Steps, height, width, channels: compressed, since they would fill disks."""


def demo_name(episode: int) -> str:
    """Return the name of an episode's group."""
    return f"demo_{episode}"


def location(dataset: str, episode: int) -> str:
    """Return where an episode's trajectory is, as records have it: ``reach/dataset.hdf5#data/demo_3``."""
    return f"{dataset}#data/{demo_name(episode)}"


@contextmanager
def episode_file(directory: Path, episode: int, header: Mapping[str, Any]) -> Iterator[Any]:
    """Give the HDF5 group of one episode to fill; the file gets its name when it is whole.

    Args:
        directory: The job's folder; the file comes into its folder of trajectories.
        episode: Index of the episode, from 0.
        header: Attributes of the group ``data``; ``total`` is added to them.

    Yields:
        The group of the episode. It must get the attribute ``num_samples``, the number of steps.

    Raises:
        OSError: The file cannot be written. Whatever is raised, in the block too, leaves no file.
    """
    path = directory / TRAJECTORIES / f"episode-{episode:04d}.hdf5"
    path.parent.mkdir(exist_ok=True)
    with _drafted(path) as file:
        data = file.create_group("data")
        data.attrs.update(header)
        group = data.create_group(demo_name(episode))
        yield group
        data.attrs["total"] = int(group.attrs["num_samples"])


@contextmanager
def _drafted(path: Path) -> Iterator[Any]:
    """Give a new HDF5 file to fill, which gets the name *path* when it is whole; else none is left."""
    working = path.with_name(f".{path.name}.part")
    try:
        file = open_hdf5(working, "w")
        descriptor = file.id.get_vfd_handle()
        try:
            yield file
            file.flush()  # so that closing it has nothing left to write
        except BaseException:
            _abandon(file, descriptor)
            raise
        file.close()
        os.replace(working, path)
    finally:
        working.unlink(missing_ok=True)


def _abandon(file: Any, descriptor: int) -> None:
    """Close a draft that nobody wants, whatever the disk is like.

    HDF5 that cannot write what it holds when it closes something crashes at the end of the process. So the
    draft's *descriptor* becomes that of a file in memory.
    """
    if sys.platform == "linux":
        sink = os.memfd_create("abandoned")
        try:
            os.dup2(sink, descriptor, inheritable=False)
        finally:
            os.close(sink)
    for _ in range(2):  # after a flush that failed, closing succeeds at the second attempt
        with contextlib.suppress(OSError, RuntimeError):
            file.close()


def write_rows(group: Any, name: str, length: int, pieces: Iterable[NDArray[Any]]) -> None:
    """Write a dataset piece by piece, as the pieces come.

    Args:
        group: The HDF5 group of the episode.
        name: Path of the dataset in *group*.
        length: Rows of the dataset: the episode's steps.
        pieces: (k, …) each, with any k; the first one gives the rows' shape and dtype.

    Raises:
        OSError: Too little room would be left to the results, or the dataset cannot be written.
        ValueError: The pieces have fewer than *length* rows together.
    """
    dataset, at = None, 0
    for rows in _larger(pieces):
        require_room(Path(group.file.filename).parent, rows.nbytes)
        if dataset is None:
            dataset = _create(group, name, length, rows)
        dataset[at : at + len(rows)] = rows
        at += len(rows)
    if at != length:
        raise ValueError(f"{name}: expected {length} rows, got {at}")
    group.file.flush()  # while the dataset is open: one that cannot be written when it is closed is lost


def _larger(pieces: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Join pieces up to a few megabytes: writing one costs as much as copying thousands of numbers."""
    waiting: list[NDArray[Any]] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(held.nbytes for held in waiting) >= WRITE_BYTES:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _create(group: Any, name: str, length: int, rows: NDArray[Any]) -> Any:
    shape, chunk = rows.shape[1:], min(length, max(1, CHUNK_BYTES // max(1, rows[:1].nbytes)))
    images = rows.ndim >= IMAGE_NDIM and rows.dtype == np.uint8
    chunks = (chunk, *shape) if images or length > chunk else None
    compression: dict[str, Any] = {"compression": "gzip", "compression_opts": 1} if images else {}
    return group.create_dataset(name, (length, *shape), rows.dtype, chunks=chunks, **compression)


def write_tree(group: Any, name: str, tree: Mapping[Any, Any]) -> None:
    """Write nested mappings of arrays as groups of datasets.

    Args:
        group: The HDF5 group of the episode.
        name: Path in *group* that all datasets are below.
        tree: Key → array, or a mapping like this one. `safe_names` turns keys into names.
    """
    names = safe_names(tree)
    for key, value in tree.items():
        if isinstance(value, Mapping):
            write_tree(group, f"{name}/{names[key]}", value)
        else:
            group[f"{name}/{names[key]}"] = value


def safe_names(keys: Iterable[Hashable]) -> dict[Hashable, str]:
    """Return key -> a name that HDF5 takes within one group and that no other of the *keys* has.

    Keys whose text is such a name keep it: ``a/b``, which would be two groups, becomes ``a_b``, or ``a_b-2``
    beside a key ``a_b``.
    """
    safe = {key: re.sub(r"[/\0\ud800-\udfff]", "_", str(key)) for key in keys}
    names: dict[Hashable, str] = {}
    taken: set[str] = set()
    order = sorted(safe, key=lambda key: (safe[key] != key, type(key).__name__, str(key)))
    for key in order:
        base = safe[key] if safe[key].strip(".") else "_" * max(1, len(safe[key]))
        name, number = base, 2
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name)
        names[key] = name
    return names


def dataset_names(paths: Iterable[tuple[Hashable, ...]]) -> dict[tuple[Hashable, ...], str]:
    """Return path -> the name of its dataset, ``outer/inner``: see `safe_names`."""
    known = list(paths)
    levels: dict[tuple[Hashable, ...], dict[Hashable, None]] = {}
    for path in known:
        for depth, key in enumerate(path):
            levels.setdefault(path[:depth], {})[key] = None
    names = {prefix: safe_names(keys) for prefix, keys in levels.items()}
    return {path: "/".join(names[path[:i]][key] for i, key in enumerate(path)) for path in known}


def collect(directory: Path) -> None:
    """Put the finished episodes of a job's folder into its ``dataset.hdf5``, beside those that it has.

    The new file takes the name at once, and only then the episodes' own files go: at any moment each episode
    is in one of the two.
    """
    parts = sorted((directory / TRAJECTORIES).glob("episode-*.hdf5"))
    if parts:
        target = directory / DATASET
        _write_whole(target, [*([target] if target.exists() else []), *parts], linked=False)
        for part in parts:
            part.unlink()
    with contextlib.suppress(OSError):  # there is none, or a killed process left something there
        (directory / TRAJECTORIES).rmdir()


def link(target: Path, sources: Iterable[Path]) -> None:
    """Write a dataset whose episodes are links into *sources*: it takes no space, and moves with them."""
    _write_whole(target, sources, linked=True)


def _write_whole(target: Path, sources: Iterable[Path], *, linked: bool) -> None:
    sources = list(sources)
    require_room(target.parent, 0 if linked else sum(path.stat().st_size for path in sources))
    with _drafted(target) as file:
        data = file.create_group("data")
        for path in sources:
            with open_hdf5(path, "r") as source:
                try:
                    _take_over(data, source["data"], os.path.relpath(path, target.parent) if linked else None)
                except (KeyError, TypeError, ValueError) as error:
                    raise OSError(f"{path.name} is no dataset of episodes: {error}") from None
        data.attrs["total"] = sum(int(demo.attrs.get("num_samples", 0)) for demo in data.values())


def _take_over(data: Any, source: Any, linked_path: str | None) -> None:
    for key, value in source.attrs.items():
        data.attrs[key] = value
    for name in source:
        if name in data:  # run again since
            del data[name]
        if linked_path is None:
            source.file.copy(source[name], data, name)
        else:
            data[name] = h5py.ExternalLink(linked_path, f"/data/{name}")


def plain_reason(error: Exception) -> str:
    """Return in one line why a dataset could not be written; HDF5 itself needs many."""
    found = re.search(r"errno = (\d+)", str(error))
    number = int(found[1]) if found else getattr(error, "errno", None)
    return os.strerror(number) if number else (str(error).splitlines() or [type(error).__name__])[0]


def open_hdf5(path: Path, mode: str) -> Any:
    """Return the HDF5 file at *path*; raises OSError."""
    # Some file systems of clusters have no locks, and none is needed: a file has one writer, under a name
    # that no reader knows.
    return h5py.File(path, mode, locking="best-effort")
