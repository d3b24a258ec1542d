"""Verdicts that belong to no test that pytest runs: of a sharded job, of a group, of the whole session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pytest

Location = tuple[str, int | None, str]
"""File, line and name, as pytest has it."""


def report_verdict(
    config: pytest.Config,
    nodeid: str,
    location: Location,
    message: str | None,
    *,
    xfailed: bool = False,
    properties: Sequence[tuple[str, object]] = (),
    extra: Mapping[str, object] | None = None,
) -> None:
    """Report a test that pytest has not run: its three stages, to every plugin that listens.

    *message* says why it failed, or, *xfailed*, why that was expected; None: it passed. *extra* is for the
    JSON report.
    """
    hook = config.hook
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
        report._json_report_extra = {**(extra or {}), when: {}}  # type: ignore[attr-defined]
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)


def select_again(config: pytest.Config, nodeid: str, tests: Iterable[str], *, failed: bool) -> None:
    """``--lf`` after a verdict that failed: it cannot select the verdict, so it selects these *tests*."""
    cache = config.pluginmanager.get_plugin("lfplugin")
    remembered: dict[str, bool] = getattr(cache, "lastfailed", {})
    remembered.pop(nodeid, None)
    if failed:
        remembered.update(dict.fromkeys(tests, True))
