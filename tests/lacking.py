"""Tests that need something of the machine: root, a browser, OpenGL."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

NO_SKIPS = "PYTEST_ARENA_NO_SKIPS"
"""Where this variable is set, as in CI, nothing may be lacking: nobody looks at what was skipped there."""


def lacking(what: str) -> NoReturn:
    """Skip the running test for *what* is lacking, or fail it where that may not be."""
    __tracebackhide__ = True
    if os.environ.get(NO_SKIPS):
        pytest.fail(f"{what} ({NO_SKIPS} is set)", pytrace=False)
    pytest.skip(what)
