"""These tests need the packages of the policies' extras."""

from __future__ import annotations

import os
from importlib.util import find_spec

from tests.lacking import NO_SKIPS

if not os.environ.get(NO_SKIPS) and not all(
    map(find_spec, ("websockets", "msgpack", "zmq", "PIL", "hypothesis"))
):
    collect_ignore_glob = ["test_*.py"]
