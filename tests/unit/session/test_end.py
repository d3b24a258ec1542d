"""The order of what the session's end does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.session.current_run import Run
from pytest_arena.session.end import SessionEnd
from pytest_arena.session.lost_tests import CollectedTests


def test_a_verdict_that_stops_the_session_hides_no_test_that_never_ran(tmp_path: Path) -> None:
    session: Any = SimpleNamespace(
        config=None, shouldstop=False, shouldfail=False, testsfailed=0, exitstatus=0
    )

    def fail_with_maxfail_1() -> list[Any]:
        session.shouldfail, session.testsfailed = "stopping after 1 failures", 1
        return []

    shards: Any = SimpleNamespace(join_rest=fail_with_maxfail_1)
    plugins = SimpleNamespace(hasplugin=lambda name: False, get_plugin=lambda name: None)
    started = SimpleNamespace(dir=tmp_path)
    session.config = SimpleNamespace(pluginmanager=plugins, invocation_params=started)
    run = Run(RunDirectory(tmp_path))
    SessionEnd(session, run, CollectedTests(["never_ran"]), shards).finish()
    assert run.lost == ["never_ran"]
    assert session.exitstatus == pytest.ExitCode.INTERNAL_ERROR
