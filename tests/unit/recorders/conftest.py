from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pytest_arena.recorders.films.encoder import Encoder

THREADS = 2


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("arena-encoder")] == []


@pytest.fixture
def encoder() -> Iterator[Encoder]:
    made = Encoder(THREADS)
    yield made
    made.close()
