"""``report.json`` through pytest-json-report, with that plugin's defects mended.

Its defects: metadata that is no plain JSON is dropped as a whole; interrupted tests count as passed; a test
that passed at last after reruns counts as "rerun"; ``environment`` is empty; its file is not written
atomically.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

import pytest

from pytest_arena.options import is_worker, settings
from pytest_arena.records.files import write_json
from pytest_arena.records.for_reports import arena_metadata
from pytest_arena.records.page_address import PAGE, episode_address, job_address
from pytest_arena.records.to_plain import to_plain
from pytest_arena.reports.reported_run import ReportedRun


def enable(config: pytest.Config, run: ReportedRun) -> None:
    """Turn pytest-json-report on, now that there are jobs; leave it as it is where the user did so."""
    if not config.pluginmanager.hasplugin("pytest_jsonreport"):
        run.suite.append(("no report.json: the plugin pytest_jsonreport is switched off", None))
        return
    # LogRecord attributes of any type would reach the transport and end the worker: never send logs.
    config.option.json_report_omit = [*config.option.json_report_omit, "log"]
    if not config.option.json_report:
        from pytest_jsonreport import plugin

        config.option.json_report = True
        config.option.json_report_file = None  # ours is written by `ReportRepair`
        config.option.json_report_verbosity = -1
        if "tbstyle" not in config.option:  # -p no:terminal: it reads pytest's --tb
            config.option.tbstyle = "auto"
        reporter = plugin.JSONReportWorker(config) if is_worker(config) else plugin.JSONReport(config)
        reporter._start_time = time.time()
        config._json_report = reporter  # type: ignore[attr-defined]
        config.pluginmanager.register(reporter, "arena-jsonreport-reporter")
    config.pluginmanager.register(ReportRepair(config, run), "arena-json-report")


class ReportRepair:
    """Corrects the report and writes it into the run directory, atomically."""

    def __init__(self, config: pytest.Config, run: ReportedRun) -> None:
        self._config, self._run = config, run

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        """Make all metadata plain before it is judged serializable, or sent."""
        metadata = getattr(item, "_json_report_extra", {}).get("metadata", {})
        plain = to_plain(metadata)
        metadata.clear()  # in place: the test's json_metadata fixture holds this very dict
        metadata.update(plain)
        item.user_properties[:] = [(str(key), to_plain(value)) for key, value in item.user_properties]
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Name a test's outcome where ``-p no:terminal`` has taken away who does: the JSON report asks."""
        if self._config.pluginmanager.hasplugin("terminal"):
            return None
        outcome = "error" if report.failed and report.when != "call" else str(report.outcome)
        return outcome, outcome[:1].upper(), outcome.upper()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Give the session what the JSON report asks for, which ``-p no:legacypath`` takes away."""
        if not hasattr(session, "fspath"):
            session.fspath = session.path

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_json_modifyreport(self, json_report: dict[str, Any]) -> None:
        """Mend outcomes and environment; write ``report.json``."""
        with self._run.writing("report.json"):
            self._mend_and_write(json_report)

    def _mend_and_write(self, json_report: dict[str, Any]) -> None:
        tests = json_report.get("tests", [])
        if any("call" not in test for test in tests) or settings(self._config).family_error is not None:
            self._refresh(tests)
        pages = settings(self._config).html and (self._run.directory.path / PAGE).is_file()
        for test in tests:
            test["outcome"] = _outcome(test)
            about = test.get("metadata", {}).get("arena") if pages else None
            if isinstance(about, dict) and isinstance(path := about.get("record_path"), str):
                # Beside the record: all that is in it is in record.json as well.
                test["metadata"]["arena_page"] = _addresses(PurePosixPath(path).parent.name)
        if tests:
            kept = {k: v for k, v in json_report["summary"].items() if k in ("collected", "deselected")}
            json_report["summary"] = {
                **Counter(test["outcome"] for test in tests),
                "total": len(tests),
                **kept,
            }
        json_report["environment"] = json_report.get("environment") or _environment(self._config)
        json_report["arena_never_ran"] = self._run.lost
        json_report["arena_run"] = self._run.directory.path.name
        plain = to_plain(json_report)
        json_report.update(plain)
        if not is_worker(self._config):
            write_json(self._run.directory.path / "report.json", plain)

    def _refresh(self, tests: list[dict[str, Any]]) -> None:
        """Some records know more than their tests did.

        A test that was cut off reported its job before the rollout; comparisons that are judged together are
        judged at the end.
        """
        records = {record.nodeid: record for record in self._run.directory.records()}
        for test in tests:
            record = records.get(test["nodeid"])
            if record is not None and ("call" not in test or record.comparison is not None):
                test.setdefault("metadata", {})["arena"] = arena_metadata(record)


def _outcome(test: dict[str, Any]) -> str:
    """Return a test's outcome, judged by the stages that it has."""
    stages = {name: test[name]["outcome"] for name in ("setup", "call", "teardown") if name in test}
    outcome = str(test["outcome"])
    if stages.get("setup") == "passed" and "call" not in stages and outcome == "passed":
        return "error"  # interrupted, or its process died: nothing was tested
    if outcome == "rerun" and _all_passed(stages.values()):
        return "passed"
    return outcome.removeprefix("subtests ")


def _addresses(folder: str) -> dict[str, str]:
    """Return where the page shows the job with this *folder*, and its episodes."""
    return {"job": job_address(folder), "episode": episode_address(folder, "{episode}")}


def _all_passed(outcomes: Iterable[str]) -> bool:
    return all(outcome == "passed" for outcome in outcomes)


def _environment(config: pytest.Config) -> dict[str, Any]:
    """Return what pytest-metadata collected; pytest-json-report looks where it no longer is."""
    try:
        from pytest_metadata.plugin import metadata_key
    except ImportError:
        return {}
    return dict(config.stash.get(metadata_key, {}))
