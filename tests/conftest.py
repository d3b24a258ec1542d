"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["pytester"]

# On a busy machine any example may take its time: speed belongs to benchmarks.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
