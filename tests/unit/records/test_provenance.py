"""Where numbers came from."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from pytest_arena.records import provenance

PHYSICS = {
    "newton": "1.6.1",
    "warp-lang": "1.17.0",
    "mujoco-warp": "3.12.0",
    "mujoco": "3.12.0",
    "isaacsim": "6.2.0",
    "isaaclab": "3.0.0",
    "isaaclab_newton": "1.0.0",
    "isaaclab_arena": "0.3.1",
    "mjlab": "1.6.0",
}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What is installed, and nothing else."""
    found: dict[str, str] = {}

    def version(package: str) -> str:
        if package not in found:
            raise PackageNotFoundError(package)
        return found[package]

    monkeypatch.setattr(provenance, "version", version)
    provenance.versions.cache_clear()
    yield found
    provenance.versions.cache_clear()


def test_what_computes_the_physics_is_among_the_versions(installed: dict[str, str]) -> None:
    installed.update(PHYSICS)
    assert {name: provenance.versions().get(name) for name in PHYSICS} == PHYSICS


def test_what_is_not_installed_is_left_out(installed: dict[str, str]) -> None:
    assert list(provenance.versions()) == ["python"]


def test_one_change_is_told_from_another(tmp_path: Path) -> None:
    def git(*args: str) -> None:
        who = ("-c", "user.name=n", "-c", "user.email=e")
        subprocess.run(["git", "-C", str(tmp_path), *who, *args], check=True, capture_output=True)

    assert provenance.source_revision(tmp_path) is None
    file = tmp_path / "policy.py"
    git("init")
    file.write_text("gain = 0\n")
    git("add", ".")
    git("commit", "-m", "first")
    found = []
    for text in (None, "gain = 1\n", "gain = 2\n", "gain = \xe9\n"):
        if text is not None:
            file.write_bytes(text.encode("latin-1"))
        found.append(provenance.source_revision(tmp_path))
    clean, *changed = found
    assert clean is not None
    assert clean.keys() == {"commit", "dirty"}
    assert [one["dirty"] for one in changed if one] == [True] * 3
    assert len({one["changes"] for one in changed if one}) == 3
