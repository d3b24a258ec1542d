"""``python -m pytest_arena report``: the page of a run, of this version or of an earlier one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_arena.__main__ import main
from pytest_arena.commands import report
from tests.unit.reports.html.table_rows import ShownTable

STORED = Path(__file__).parents[2] / "stored_runs" / "v0.1.0"


@pytest.mark.parametrize("name", ["baseline", "interrupted"])
def test_a_run_of_an_earlier_version_has_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    run = shutil.copytree(STORED / name, tmp_path / "run")
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'index.html'}\n"
    page = (run / "index.html").read_text()
    assert "cannot be read" not in page
    shown = {row.name.split()[0]: row.cells[1].rstrip(" *") for row in ShownTable(page).rows}
    assert shown.keys() >= {path.parent.name for path in run.glob("*/record.json")}
    if name == "interrupted":
        assert (shown["gated"], shown["errored"], shown["interrupted"]) == ("pass", "error", "running")


def test_a_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    run = shutil.copytree(STORED / "baseline", tmp_path / "run")
    (run / "index.html").mkdir()
    for arguments, words in (
        ([str(tmp_path / "nowhere")], "there is none"),
        ([str(tmp_path / "empty")], "without run.json and records"),
        ([str(run), "--embed", "-1"], "expected a number of MiB"),
        ([str(run), "--embed", "1e999"], "expected a number of MiB"),
        ([str(run)], "could not be written: Is a directory"),
    ):
        assert main(["report", *arguments]) == 4, arguments
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line


def test_films_go_into_the_page_up_to_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(report, "write_run_page", lambda run_dir, embed: asked.append(embed))
    run = shutil.copytree(STORED / "baseline", tmp_path / "run")
    for arguments in ([], ["--embed"], ["--embed", "0.5"]):
        assert main(["report", str(run), *arguments]) == 0
    assert asked == [0, report.EMBEDDED_MIB * 2**20, 2**19]
