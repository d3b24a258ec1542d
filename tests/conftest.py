"""What all tests share."""

from __future__ import annotations

from importlib.util import find_spec

pytest_plugins = ["pytester"]

if find_spec("hypothesis") is not None:  # the environments of real simulators have none
    from hypothesis import settings

    # On a busy machine any example may take its time: speed belongs to benchmarks.
    settings.register_profile("no deadline", deadline=None)
    settings.load_profile("no deadline")
