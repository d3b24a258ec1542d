"""The public API: names that can be imported from the package itself, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pytest_arena

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", pytest_arena.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(pytest_arena, name) is not None
    assert name in dir(pytest_arena)


def test_what_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pytest_arena.nothing


@pytest.mark.process
def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; before = {*sys.modules}; import pytest_arena; print(*{*sys.modules} - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in loaded.stdout.split() if name.startswith("pytest_arena")}
    assert ours == {"pytest_arena"}
    assert "pytest" not in loaded.stdout.split()


def test_paths_of_the_first_version_still_lead_somewhere() -> None:
    from pytest_arena.evaluation import join_shards
    from pytest_arena.evaluation.without_pytest import evaluate

    assert evaluate is pytest_arena.evaluate
    assert join_shards.__name__ == "pytest_arena.evaluation.join_shards"
