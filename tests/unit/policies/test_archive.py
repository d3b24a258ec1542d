"""Zip archives that unpack to far more than they are."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from pytest_arena.policies.archive import ALWAYS_ALLOWED, read_members


def archive(*contents: bytes, compressed: bool = True) -> bytearray:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as made:
        for index, content in enumerate(contents):
            made.writestr(f"archive/{index}", content)
    return bytearray(file.getvalue())


def test_the_contents_by_name() -> None:
    content = archive(b"one", b"two" * 1000)
    assert read_members(io.BytesIO(content)) == {"archive/0": b"one", "archive/1": b"two" * 1000}


def test_a_bomb_is_refused_by_its_directory() -> None:
    content = archive(bytes(ALWAYS_ALLOWED), b"more")
    with pytest.raises(ValueError, match=r"it unpacks from \d+ bytes to \d+, which no checkpoint does"):
        read_members(io.BytesIO(content))


def test_a_bomb_whose_directory_lies_is_cut_off() -> None:
    content = archive(bytes(10_000_000))
    told = content.rindex(struct.pack("<I", 10_000_000))  # in the directory at the end
    content[told : told + 4] = struct.pack("<I", 100)
    with pytest.raises(ValueError, match="its contents cannot be read"):
        read_members(io.BytesIO(content))


@pytest.mark.parametrize("content", [b"", b"text"])
def test_no_archive(content: bytes) -> None:
    with pytest.raises(ValueError, match="it is no zip archive"):
        read_members(io.BytesIO(content))


def test_a_name_that_is_there_twice() -> None:
    content = archive(b"1", b"2", compressed=False)
    with pytest.raises(ValueError, match="a name is in it twice"):
        read_members(io.BytesIO(content.replace(b"archive/1", b"archive/0")))
