"""Where numbers came from."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError

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
