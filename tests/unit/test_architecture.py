"""The house: floors, light imports, small modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import pytest_arena

PACKAGE = Path(pytest_arena.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

FLOORS = (
    "errors",
    "guards",
    "jobs",
    "records",
    "simulators",
    "policies",
    "rollout",
    "recorders",
    "gate",
    "comparison",
    "evaluation",
    "export",
    "reports/html",
    "commands",
    "__main__",
    # What is above knows pytest.
    "hookspecs",
    "options",
    "reports",
    "parallel",
    "session",
    "trackers",
    "plugin",
    "testing",
)
"""From the ground up: a module imports from its own floor downwards, at the top of a file or inside."""
FIRST_WITH_PYTEST = FLOORS.index("hookspecs")
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


def floor(module: str) -> int:
    """Return how high the part of *module*, a dotted name, is; the package itself (its API) is below all."""
    parts = module.split(".")
    return -1 if len(parts) == 1 else FLOORS.index(floor_name(parts[1:]))


def floor_name(parts: Sequence[str]) -> str:
    """Return the floor of a module, whose name within the package is *parts*."""
    folder = "/".join(parts[:2])
    return folder if folder in FLOORS else parts[0]


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


def dotted(path: Path) -> str:
    parts = ("pytest_arena", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


def top_name(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULE_NAMES = {dotted(path): path for path in MODULES}


def modules_that_it_imports(path: Path) -> set[str]:
    """Modules of the package that *path* imports, at any depth of its code, for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "pytest_arena":
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if name in MODULE_NAMES else str(node.module) for name in names}
    return found - {dotted(path)}


def test_the_floors_are_all_there_is() -> None:
    assert {
        floor_name(dotted(path).split(".")[1:])
        for path in MODULES
        if path.parent != PACKAGE or path.stem != "__init__"
    } == {*FLOORS}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_module_imports_from_its_own_floor_downwards(path: Path) -> None:
    if dotted(path) == "pytest_arena":
        return  # the public API names what is everywhere
    mine = floor(dotted(path))
    for name in imported(path):
        root = name.partition(".")[0]
        known = mine >= FIRST_WITH_PYTEST or root not in ("pytest", "_pytest", "xdist")
        assert known, f"{path.name} knows {root}"
    for name in modules_that_it_imports(path):
        assert floor(name) <= mine, f"{path.name} imports {name}, which is on a higher floor"


def test_no_module_imports_itself_by_way_of_others() -> None:
    waiting = {name: modules_that_it_imports(path) for name, path in MODULE_NAMES.items()}
    del waiting["pytest_arena"]
    while free := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert not waiting, f"these import each other in a circle, or what does: {sorted(waiting)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_modules_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


def test_a_function_fits_a_screen() -> None:
    long = [
        f"{path.relative_to(PACKAGE)}: {node.name}, {lines} lines"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > 60
    ]
    assert not long


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_names_say_what_things_are(path: Path) -> None:
    for vague in ("helper", "util", "manager", "misc", "common"):
        assert vague not in path.stem


def test_only_the_parallel_floor_knows_xdist() -> None:
    for path in MODULES:
        if top_name(path) != "parallel":
            assert not [name for name in imported(path) if name.split(".")[0] in ("xdist", "execnet")]


@pytest.mark.process
def test_the_entry_point_imports_nothing_heavy() -> None:
    code = "import sys, pytest_arena.plugin; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not set(HEAVY) & set(loaded)


@pytest.mark.process
def test_a_job_without_a_gate_does_not_pay_for_scipy() -> None:
    code = "import sys, pytest_arena.session.item_rollout, pytest_arena.reports.terminal; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "scipy" not in {name.split(".")[0] for name in loaded.stdout.split()}


@pytest.mark.process
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


OVERRIDING = ("on_reset", "on_step", "mark_test_complete", "row")
"""Methods that are explained where they are first declared, or that pytest calls as tests."""


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_more_than_two_parameters_are_explained_one_by_one(path: Path) -> None:
    classes = [
        node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, (ast.Module, ast.ClassDef))
    ]
    for holder in classes:
        if isinstance(holder, ast.ClassDef) and holder.name.startswith("_"):
            continue
        for node in holder.body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith(
                ("_", "pytest_", "arena_", "test_")
            ):
                continue
            given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            names = [argument.arg for argument in given if argument.arg not in ("self", "cls")]
            declared_here = node.name not in OVERRIDING or path.name == "recorder.py"
            if len(names) > 2 and declared_here:
                text = ast.get_docstring(node) or ""
                assert "Args:" in text, f"{path.name}:{node.lineno} {node.name}"
                missing = [name for name in names if f"{name}:" not in text.partition("Args:")[2]]
                assert not missing, f"{path.name}:{node.lineno} {node.name} lacks {missing}"
