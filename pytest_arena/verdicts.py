"""Verdicts that belong to no test that pytest runs: of a sharded job, of a group, of the whole session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pytest

from pytest_arena.records.plain import to_plain

Location = tuple[str, int | None, str]
"""File, line and name, as pytest has it."""


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
    remembered: dict[str, bool] = getattr(config.pluginmanager.get_plugin("lfplugin"), "lastfailed", {})
    remembered.pop(nodeid, None)
    if message is not None and not xfailed:
        remembered.update(dict.fromkeys(tests, True))
