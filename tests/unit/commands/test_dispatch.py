"""``python -m pytest_arena``: commands, and what a mistake looks like."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.__main__ import COMMANDS, USAGE_ERROR, main
from pytest_arena.jobs.editor_schema import job_file_schema


def test_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == job_file_schema()


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["schema", "--more"]])
def test_a_wrong_command_line_ends_as_in_pytest(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == USAGE_ERROR == pytest.ExitCode.USAGE_ERROR
    assert "error:" in capsys.readouterr().err


PLAN = ["plan", "--threshold", ">= 0.9", "--episodes-max", "40"]


@pytest.mark.process
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("argv", [["schema"], PLAN])
def test_a_result_that_cannot_be_written(argv: list[str]) -> None:
    """Not status 1, which says of a comparison that one run is worse; and no traceback."""
    with open("/dev/full", "w") as full:
        ended = run("-m", "pytest_arena", *argv, stdout=full)
    line = rf"python -m pytest_arena {argv[0]}: error: the result could not be written: .*\n"
    assert (ended.returncode, re.fullmatch(line, ended.stderr) is not None) == (USAGE_ERROR, True), (
        ended.stderr
    )


def test_a_result_that_the_output_has_no_letters_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pytest_arena.commands.plan.run", lambda _: print("\u00e9") or 0)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert main(PLAN) == USAGE_ERROR
    assert "error: the result could not be written: 'ascii' codec" in capsys.readouterr().err


def test_halves_of_characters_are_written_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They stand in names of files, and in JSON: one of a thousand runs hides no other."""
    monkeypatch.setattr("pytest_arena.commands.plan.run", lambda _: print("a \ud800 \udcff") or 0)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "utf-8"))
    assert main(PLAN) == 0
    assert written.getvalue() == b"a \\ud800 \\udcff\n"


@pytest.mark.process
@pytest.mark.parametrize("status", [0, 1])
def test_a_reader_that_has_gone_does_not_hide_the_status(status: int) -> None:
    code = (
        "import sys, pytest_arena.__main__ as m, pytest_arena.commands.plan as p\n"
        f"p.run = lambda arguments: print('line') or {status}\n"
        f"sys.exit(m.main({PLAN!r}))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as gone:
        ended = subprocess.run(
            [sys.executable, "-c", code],
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (status, "")


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, check=False, **options)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert COMMANDS[command][1:40] in " ".join(capsys.readouterr().out.split())


def test_a_command_that_is_not_used_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for command in COMMANDS:
        monkeypatch.delitem(sys.modules, f"pytest_arena.commands.{command}", raising=False)
    with pytest.raises(SystemExit):
        main(["--help"])
    assert not [name for name in sys.modules if name.startswith("pytest_arena.commands.")]
