from __future__ import annotations

import os
from pathlib import Path

import pytest
from jobs_bad_files import CASES

from pytest_arena import JobFileError, load_jobs


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_is_told_in_one_line(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, *expected = CASES[case]
    is_json = case.startswith(("json-", "legacy-"))
    name = "jobs.json" if is_json else "jobs.yaml"
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(text.encode())
    with pytest.raises(JobFileError) as caught:
        load_jobs(Path(name))
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"{name}:")
    assert "pydantic" not in message
    assert len(message) < 400
    for words in expected:
        assert words in message


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            b"jobs:\n  \xff: 1", "jobs.yaml:2: expected UTF-8 text, got the byte 0xff", id="latin-1"
        ),
        pytest.param("jobs: {}".encode("utf-16"), "jobs.yaml:1: expected UTF-8 text", id="utf-16"),
        pytest.param(
            b"\x7fELF\x02\x01\x00", "jobs.yaml:1: not valid YAML: unacceptable character", id="binary"
        ),
        pytest.param(b"\x89PNG\r\n\x1a\n", "jobs.yaml:1: expected UTF-8 text, got the byte 0x89", id="image"),
    ],
)
def test_bytes_that_are_no_text(
    raw: bytes, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jobs.yaml").write_bytes(raw)
    with pytest.raises(JobFileError) as caught:
        load_jobs(Path("jobs.yaml"))
    assert expected in str(caught.value)
    assert str(caught.value).isprintable()


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    for path, words in [
        ("missing.yaml", "missing.yaml: no such file"),
        ("folder", "folder: expected a job file, this is a directory"),
        ("folder/x/y.yaml", "folder/x/y.yaml: no such file"),
        ("loop", "loop: cannot be read: "),
        ("a\0b", r"'a\x00b': cannot be read: "),
        ("x" * 300, "cannot be read: "),
    ]:
        with pytest.raises(JobFileError) as caught:
            load_jobs(Path(path))
        assert words in str(caught.value)
        assert str(caught.value).isprintable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.touch(mode=0)
    with pytest.raises(JobFileError, match="cannot be read: Permission denied"):
        load_jobs(file)


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(JobFileError, match="expected at most 64 MiB"):
        load_jobs(Path("/dev/zero"))
