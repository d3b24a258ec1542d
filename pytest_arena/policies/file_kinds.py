"""Which kind of file a policy is in, for a job that gives it to the wrong family."""

from __future__ import annotations

import zipfile
from pathlib import Path

from pytest_arena.records.json_files import open_regular

_KINDS = (
    ("sb3", "a zip file of Stable-Baselines3", "type: sb3"),
    ("script", "a TorchScript archive", "type: torch"),
    ("program", "an exported program", "type: torch"),
    (
        "saved",
        "what torch.save wrote",
        "type: rsl_rl for its runner's checkpoint, or type: torch with module",
    ),
    ("safetensors", "a safetensors file", "type: torch with module"),
    ("onnx", "an ONNX model", "type: onnx"),
    ("pickle", "a pickle", None),
    ("hdf5", "an HDF5 file", "type: replay"),
)


def kind_of_file(path: Path) -> str | None:
    """Return ``sb3``, ``script``, ``program``, ``saved``, ``safetensors``, ``onnx``, ``pickle`` or ``hdf5``.

    Args:
        path: The file; only its first bytes and, of an archive, the names in it are read.

    Returns:
        What it seems to be; None where that is not known, or it cannot be read.
    """
    try:
        with open_regular(path) as file:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    return _kind_of_archive(set(archive.namelist()))
            file.seek(0)
            first = file.read(16)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return None
    if first[:8] == b"\x89HDF\r\n\x1a\n":
        return "hdf5"
    if first[8:9] == b"{" and int.from_bytes(first[:8], "little") < 2**30:
        return "safetensors"
    if first[:1] == b"\x80" and first[1:2] in b"\x02\x03\x04\x05":
        return "pickle"
    # Field 1 of a ModelProto, its version; and then field 2, the producer, or another of the first fields.
    return "onnx" if first[:1] == b"\x08" and first[2:3] in b"\x12\x1a\x22\x28\x32\x3a\x42" else None


def other_kind(path: Path, *mine: str) -> str:
    """Return e.g. ``; this is a TorchScript archive: use type: torch``, to be put behind an error.

    Args:
        path: The file that could not be read.
        mine: The kinds that the family reads.

    Returns:
        The words; empty where the file is of none of the known kinds, or of one of *mine*.
    """
    kind = kind_of_file(path)
    for name, words, use in _KINDS:
        if name == kind and name not in mine:
            return f"; this is {words}" + (f": use {use}" if use else "")
    return ""


def _kind_of_archive(names: set[str]) -> str | None:
    below = {name.partition("/")[2] for name in names}
    if {"data", "policy.pth"} <= names:
        return "sb3"
    if "constants.pkl" in below and any(name.startswith("code/") for name in below):
        return "script"
    if "archive_format" in below:
        return "program"
    return "saved" if "data.pkl" in below else None
