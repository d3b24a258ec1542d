"""HDF5 files from anybody: what in them may be read, and what would lead elsewhere.

An HDF5 file can keep its data in any other file: by links, external storage, or virtual datasets. It can say
of a few bytes that they are terabytes. None of that is read. One thing leads elsewhere for good reason: the
dataset of a sharded job links to those of its shards.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py

from pytest_arena.errors import EvaluationError

DEEPEST = 32
"""Groups within groups."""
LARGEST_CHUNK = 1 << 26
"""Bytes that reading one row may unpack."""
MOST_TIMES = 2000
"""As tightly as numbers can be packed: gzip's limit is 1032."""


class DatasetError(EvaluationError, ValueError):
    """An HDF5 file is not what a recording is, or leads elsewhere; one line."""


def child(group: Any, name: str) -> Any:
    """Return the group or dataset *name* in *group*, None where there is none.

    Raises `DatasetError` where it is a link to elsewhere: only what is in the file itself is looked at.
    """
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise DatasetError(
            f"expected data in the file itself, {_place(group, name)} is a link to {_told(link)}"
        )
    return group[name]


def require_numbers(dataset: Any) -> None:
    """Raise `DatasetError` unless *dataset* holds rows of numbers, in its own file, as many as it says."""
    where = dataset.name
    require_own_storage(dataset)
    if dataset.dtype.kind not in "biuf" or dataset.dtype.subdtype is not None:
        raise DatasetError(f"expected numbers in {where}, got {dataset.dtype}")
    if dataset.shape is None or not dataset.shape or not dataset.shape[0]:
        raise DatasetError(f"expected at least one row in {where}, got the shape {dataset.shape}")
    stored, told = dataset.id.get_storage_size(), int(dataset.nbytes)
    packed = dataset.chunks is not None and dataset.id.get_create_plist().get_nfilters() > 0
    if told > stored * (MOST_TIMES if packed else 1):
        raise DatasetError(
            f"expected {told} bytes in {where}, as its shape {dataset.shape} says, got {stored}"
        )
    chunk = dataset.dtype.itemsize
    for length in dataset.chunks or dataset.shape[1:]:
        chunk *= length
    if chunk > LARGEST_CHUNK:
        raise DatasetError(
            f"expected rows in pieces of at most {LARGEST_CHUNK >> 20} MiB in {where}, got {chunk}"
        )


def require_own_storage(dataset: Any) -> None:
    """Raise `DatasetError` where *dataset* has its data in other files, or in other datasets."""
    if dataset.external:
        elsewhere = dataset.external[0][0]
        raise DatasetError(f"expected data in the file itself, {dataset.name} has it in {elsewhere}")
    if dataset.is_virtual:
        raise DatasetError(f"expected data in the file itself, {dataset.name} is a virtual dataset")


def linked_file(file: Path, group: Any, name: str) -> Path | None:
    """Return the file that has the episode *name* in place of *file*, whose group ``data`` is *group*.

    None where the episode is in *file* itself. Raises `DatasetError` for a link that this package does not
    make: to the same episode in the dataset of a folder beside that of *file*.
    """
    link = _link(group, name)
    if not isinstance(link, h5py.ExternalLink):
        return None
    run, target = file.resolve().parent.parent, Path(str(link.filename))
    real = Path(os.path.realpath(file.resolve().parent / target))
    ours = real.parent.parent == run and real.name.startswith("dataset") and real.suffix == ".hdf5"
    if target.is_absolute() or not ours or link.path != f"/data/{name}" or not real.is_file():
        raise DatasetError(
            f"expected data in the file itself or in the dataset of a shard beside it, {_place(group, name)} "
            f"is a link to {_told(link)}"
        )
    return real


def require_own_data(path: Path) -> None:
    """Raise `DatasetError` where the HDF5 file *path* leads elsewhere; OSError where it is none."""
    with h5py.File(path, "r", locking="best-effort") as file:
        seen: set[int] = set()
        waiting = [(file["/"], 0)]
        while waiting:
            group, depth = waiting.pop()
            address = h5py.h5o.get_info(group.id).addr
            if address in seen:
                continue
            seen.add(address)
            if depth > DEEPEST:
                raise DatasetError(
                    f"expected groups at most {DEEPEST} levels deep, {group.name[:60]}… is deeper"
                )
            for name in group:
                if group.name == "/data" and linked_file(path, group, name) is not None:
                    continue
                found = child(group, name)
                if isinstance(found, h5py.Dataset):
                    require_own_storage(found)
                elif isinstance(found, h5py.Group):
                    waiting.append((found, depth + 1))


def _link(group: Any, name: str) -> Any:
    try:
        return group.get(name, getlink=True)
    except KeyError:
        return None


def _place(group: Any, name: str) -> str:
    return f"{group.name.rstrip('/')}/{name}"


def _told(link: Any) -> str:
    return f"{link.filename}:{link.path}" if isinstance(link, h5py.ExternalLink) else str(link.path)
