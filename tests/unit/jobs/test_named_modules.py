"""Names in job files that lead nowhere are the user's mistake: one line. What breaks inside is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_arena import EvaluationError
from pytest_arena.jobs.user_modules import import_function


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "solved_here.py").write_text("LEVEL = 3\ndef lifted(env): ...\n")
    (tmp_path / "lazy_here.py").write_text(
        "import solved_here\ndef __getattr__(name): return getattr(solved_here, name)\n"
    )
    (tmp_path / "broken_here.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize("path", ["solved_here:lifted", "solved_here.lifted", "lazy_here:lifted"])
def test_a_function_is_found(path: str) -> None:
    assert import_function(path).__name__ == "lifted"


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("lifted", "success.callable: expected module:name, got 'lifted'"),
        (":lifted", "success.callable: expected module:name, got ':lifted'"),
        (
            "solved_there:lifted",
            "success.callable: cannot import 'solved_there': No module named 'solved_there'; looked beside the "
            "job file and on Python's path",
        ),
        (
            "solved_here:lifed",
            "success.callable: module 'solved_here' has no 'lifed' (did you mean 'lifted'?)",
        ),
        ("solved_here:LEVEL", "success.callable: 'solved_here:LEVEL' is not a function"),
    ],
)
def test_a_name_that_leads_nowhere_is_a_line(path: str, message: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        import_function(path)
    assert str(raised.value) == message


@pytest.mark.usefixtures("modules")
def test_a_module_that_is_broken_keeps_its_own_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        import_function("broken_here:lifted")
