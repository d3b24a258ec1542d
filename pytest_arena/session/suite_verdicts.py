"""Verdicts over several jobs, drawn once, at the end, by the process that reports: family and groups.

They are read from the records on disk, so it does not matter which worker ran which job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena.options import settings
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.reports.reported_run import VerdictLine
from pytest_arena.session.verdict_reports import report_as_test

if TYPE_CHECKING:
    from pytest_arena.comparison.groups import GroupVerdict
    from pytest_arena.records.manifest import GroupEntry, Manifest
    from pytest_arena.records.schema import JobRecord

FAMILY = "arena::family"
"""Node id of the verdict over all comparisons."""


def judge_suite(config: pytest.Config, directory: RunDirectory) -> tuple[list[VerdictLine], dict[str, Any]]:
    """Draw the verdicts and report each that there is; returns them in words, and for ``run.json``."""
    try:
        manifest = directory.manifest()
    except (OSError, ValueError):  # no worker got as far as to write it
        return [], {}
    family = settings(config).family_error
    baseline = settings(config).baseline
    if family is None and not manifest.groups and baseline is None:
        return [], {}
    records = directory.latest()
    facts: dict[str, Any] = {}
    lines: list[VerdictLine] = []
    if baseline is not None and not any(entry.config.get("regression") for entry in manifest.jobs.values()):
        lines.append((f"no job has the key regression: nothing is compared with {baseline}", None))
    if family is not None:
        facts["family"], line = _judge_family(config, directory, manifest, records)
        lines.append(line)
    facts["groups"] = []
    for group in manifest.groups:
        verdict, line = _judge_group(config, directory, group, manifest, records)
        facts["groups"].append({**asdict(group), "verdict": verdict})
        if any(group.jobs.values()):  # else nobody asked for any of its jobs
            lines.append(line)
    return lines, facts


def _judge_family(
    config: pytest.Config,
    directory: RunDirectory,
    manifest: Manifest,
    records: Mapping[str, JobRecord],
) -> tuple[dict[str, Any], VerdictLine]:
    """Judge all regressions together; the records of those that hold are written again, as failures."""
    from pytest_arena.comparison.multiple_comparisons import describe_family, judge_family
    from pytest_arena.evaluation.verdict import verdict_of
    from pytest_arena.records.schema import ComparisonVerdict

    asked = settings(config).family_error
    assert asked is not None
    family = judge_family(records, asked)
    claimed, held = [], []
    for label, found in family["comparisons"].items():
        record = records[label]
        assert record.comparison is not None
        comparison = record.comparison
        comparison.family = {**found, "size": len(family["comparisons"])}
        if comparison.verdict == ComparisonVerdict.REGRESSION:
            claimed.append(label)
            if found["rejected"]:
                held.append(label)
                comparison.failed = True
        Attempt.found(directory, record).compare(comparison, verdict_of(record.thresholds, comparison))
    if not family["comparisons"]:
        return family, ("no comparison with a baseline to judge together", None)
    text = describe_family(family, claimed)
    report_as_test(
        config,
        FAMILY,
        ("arena", None, "family"),
        text if held else None,
        tests=manifest.tests_of(held),
        metadata={"arena_family": family},
    )
    return family, (text, not held)


def _judge_group(
    config: pytest.Config,
    directory: RunDirectory,
    group: GroupEntry,
    manifest: Manifest,
    records: Mapping[str, JobRecord],
) -> tuple[dict[str, Any], VerdictLine]:
    from pytest_arena.comparison.groups import describe_group, judge_group, mean_over_group
    from pytest_arena.gate.describe import describe_threshold, describe_threshold_briefly

    verdict = judge_group(group.thresholds, group.jobs, records, directory)
    gates = [gate for label in verdict.jobs if (gate := records[label].gate) is not None]
    fixed = all(gate.fixed for gate in gates)
    text = describe_group(group.tag, verdict, fixed=fixed)
    if verdict.missing:
        return _for_reports(verdict), (text, None)
    message = None
    if not verdict.passed:
        lines = (describe_threshold(result, fixed=fixed) for result in verdict.results)
        jobs = (f"  {label}: {_values(values)}" for label, values in verdict.jobs.items())
        # pytest's short summary shows the first line only, and of that what fits into the terminal.
        first = "; ".join(
            describe_threshold_briefly(result) for result in verdict.results if not result.passed
        )
        what = mean_over_group(group.tag, verdict)
        message = "\n".join([f"{first} ({what})", *(f"  {line}" for line in lines), *jobs])
    file, _, item = group.nodeid.partition("::")
    report_as_test(
        config,
        group.nodeid,
        (file, None, item),
        message,
        tests=manifest.tests_of(verdict.jobs),
        metadata={"arena_group": {"tag": group.tag, **_for_reports(verdict)}},
    )
    return _for_reports(verdict), (text, verdict.passed)


def _for_reports(verdict: GroupVerdict) -> dict[str, Any]:
    words = {None: "not judged", True: "pass", False: "fail"}[verdict.passed]
    return {"verdict": words, **asdict(verdict)}


def _values(values: Mapping[str, float | None]) -> str:
    return ", ".join(
        f"{metric} = {'not measured' if value is None else f'{value:.4g}'}"
        for metric, value in values.items()
    )
