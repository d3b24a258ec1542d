"""Verdicts that belong to no test that pytest runs: of a sharded job, of a group, of the whole session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from pytest_arena.records.to_plain import to_plain

Location = tuple[str, int | None, str]
"""File, line and name, as pytest has it."""
Line = tuple[str, bool | None]
"""A line of the summary: text, and whether it is good; None where nothing was judged."""


def report_verdict(
    config: pytest.Config,
    nodeid: str,
    location: Location,
    message: str | None,
    *,
    tests: Iterable[str],
    metadata: Mapping[str, object],
    xfailed: bool = False,
    properties: Sequence[tuple[str, object]] = (),
) -> None:
    """Report a test that pytest has not run: its three stages, to every plugin that listens.

    *message* says why it failed, or, *xfailed*, why that was expected; None: it passed. After one that
    failed, ``--lf`` selects *tests*, for it cannot select the verdict. *metadata* is for the JSON report.
    """
    hook, plain = config.hook, to_plain(metadata)
    hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
    for when in ("setup", "call", "teardown"):
        outcome, text = "passed", None
        if when == "call" and message is not None:
            outcome, text = ("skipped" if xfailed else "failed"), message
        report = pytest.TestReport(
            nodeid,
            location,
            {},
            outcome,  # type: ignore[arg-type]
            text,
            when,
            user_properties=list(properties),
        )
        if outcome == "skipped":
            report.wasxfail = message or ""
        report._json_report_extra = {"metadata": plain, when: {}}  # type: ignore[attr-defined]
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)
    _remember(config, nodeid, tests if message is not None and not xfailed else ())


def _remember(config: pytest.Config, verdict: str, failed: Iterable[str]) -> None:
    """Let ``--lf`` select the tests that *failed* in place of the *verdict*."""
    remembered: dict[Any, bool] = getattr(config.pluginmanager.get_plugin("lfplugin"), "lastfailed", {})

    def key(nodeid: str) -> Any:
        # Since pytest 9.2 its keys are what reports have as their id; before, it was the text.
        report = pytest.TestReport(nodeid, (nodeid, None, nodeid), {}, "passed", None, "call")
        return getattr(report, "id", nodeid)

    remembered.pop(key(verdict), None)
    remembered.update({key(nodeid): True for nodeid in failed})
