"""What a machine lacks skips a test on a desk, and fails it in CI."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.inner import ROOT
from tests.lacking import NO_SKIPS

TESTS = """
from tests.integration.test_launched_workers import hidden_folders
from tests.browser import browser_path

def test_small_disk(small_disk): ...
def test_hidden_folders(hidden_folders): ...
def test_browser_path(browser_path): ...
"""


@pytest.mark.process
@pytest.mark.parametrize("no_skips", [False, True])
def test_what_is_lacking_is_skipped_or_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, no_skips: bool
) -> None:
    """``mount`` and ``unshare`` refuse, as without root, and no browser is found."""
    programs = Path(pytester.mkdir("programs"))
    for name in ("mount", "unshare"):
        (programs / name).write_text("#!/bin/sh\nexit 1\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p tests.conftest -p no:arena")
    monkeypatch.delenv(NO_SKIPS, raising=False)
    if no_skips:
        monkeypatch.setenv(NO_SKIPS, "1")
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-rs")
    # A fixture that fails is an error.
    result.assert_outcomes(errors=3) if no_skips else result.assert_outcomes(skipped=3)
    for what in ("a small disk cannot be mounted", "hiding a folder needs root and unshare", "no browser"):
        result.stdout.fnmatch_lines([f"*{what}*"])


def test_ci_skips_nothing_that_a_machine_can_have() -> None:
    assert f"export {NO_SKIPS}=1\n" in (ROOT / ".ci" / "run").read_text()


def test_tests_do_without_torch() -> None:
    """A module that imports torch without asking breaks the collection where it is not installed."""
    folders = (ROOT / "tests" / "unit", ROOT / "tests" / "integration", ROOT / "tests" / "proofs")
    files = [*(ROOT / "tests").glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    careless = [path.name for path in files if _imports_torch_unasked(path.read_text())]
    assert careless == [], 'write torch = pytest.importorskip("torch") below the imports'


def _imports_torch_unasked(source: str) -> bool:
    """Whether a module imports torch before it has asked for torch, or for a package that needs it."""
    for node in ast.parse(source).body:  # text that is written to a file may import what it likes
        names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        if any(name.partition(".")[0] == "torch" for name in names):
            return "importorskip(" not in "\n".join(source.splitlines()[: node.lineno - 1])
    return False
