"""The house: floors, light imports, small modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_arena

PACKAGE = Path(pytest_arena.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

FLOORS = [
    "errors",
    "guards",
    "jobs",
    "records",
    "simulators",
    "policies",
    "recorders",
    "rollout",
    "gate",
    "evaluation",
]
"""From the ground up; `validation` shares the floor of `evaluation`. What is not named here knows pytest."""
SAME_FLOOR = dict.fromkeys(("join", "run_check", "summary", "validation"), "evaluation")
HEAVY = (
    "numpy",
    "torch",
    "gymnasium",
    "av",
    "pydantic",
    "yaml",
    "scipy",
    "mujoco",
    "metaworld",
    "h5py",
    "moviepy",
)


def floor(module: str) -> int | None:
    name = SAME_FLOOR.get(module, module)
    return FLOORS.index(name) if name in FLOORS else None


def imported(path: Path) -> list[str]:
    """Dotted names of all modules that *path* imports, at any depth of its code."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.append(node.module or "")
    return names


def top_name(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_module_imports_from_its_own_floor_downwards(path: Path) -> None:
    mine = floor(top_name(path))
    if mine is None:
        return
    for name in imported(path):
        root, _, rest = name.partition(".")
        assert root not in ("pytest", "_pytest", "xdist"), f"{path.name} knows {root}"
        if root == "pytest_arena" and rest:
            theirs = floor(rest.split(".")[0])
            assert theirs is not None, f"{path.name} imports {name}, which knows pytest"
            assert theirs <= mine, f"{path.name} imports {name}, which is on a higher floor"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_modules_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_names_say_what_things_are(path: Path) -> None:
    for vague in ("helper", "util", "manager", "misc", "common"):
        assert vague not in path.stem


def test_only_the_parallel_floor_knows_xdist() -> None:
    for path in MODULES:
        if top_name(path) != "parallel":
            assert not [name for name in imported(path) if name.split(".")[0] in ("xdist", "execnet")]


def test_the_entry_point_imports_nothing_heavy() -> None:
    code = "import sys, pytest_arena.plugin; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not set(HEAVY) & set(loaded)


def test_a_job_without_a_gate_does_not_pay_for_scipy() -> None:
    code = "import sys, pytest_arena.items, pytest_arena.reports.terminal; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "scipy" not in {name.split(".")[0] for name in loaded.stdout.split()}


def test_a_session_without_jobs_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    alone = ("-p", "no:hypothesispytest", "-p", "no:randomly")  # both import numpy, or what does
    pytester.makepyfile(
        test_plain=f"""
        import sys

        def test_it():
            loaded = {{name.split(".")[0] for name in sys.modules}}
            assert not loaded & set({HEAVY!r})
        """
    )
    result = pytester.runpytest_subprocess(*alone, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result = pytester.runpytest_subprocess(*alone, "-n", "1")
    result.assert_outcomes(passed=1)
