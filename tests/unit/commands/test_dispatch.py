"""``python -m pytest_arena``: commands, and what a mistake looks like."""

from __future__ import annotations

import json
import sys

import pytest

from pytest_arena.__main__ import COMMANDS, USAGE_ERROR, main
from pytest_arena.jobs.schema import job_file_schema


def test_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == job_file_schema()


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["schema", "--more"]])
def test_a_wrong_command_line_ends_as_in_pytest(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == USAGE_ERROR == pytest.ExitCode.USAGE_ERROR
    assert "error:" in capsys.readouterr().err


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
