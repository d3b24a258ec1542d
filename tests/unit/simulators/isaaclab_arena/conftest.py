"""Stand-ins of IsaacLab-Arena: one a generation, and the newest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.arena_stand_in import GENERATIONS, stand_in


@pytest.fixture(params=GENERATIONS)
def lab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with stand_in(request.param, monkeypatch) as lab:
        yield lab


@pytest.fixture
def newest(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with stand_in(GENERATIONS[-1], monkeypatch) as lab:
        yield lab
