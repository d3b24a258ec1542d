"""A job's part of the page: what it says of records of every kind, and what broken ones cost."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_arena import Episode, JobRecord
from pytest_arena.comparison.compare import compare
from pytest_arena.comparison.decision_rule import Rule
from pytest_arena.gate.intervals import wilson
from pytest_arena.records.manifest import JobEntry, ShardEntry
from pytest_arena.records.schema import (
    Comparison,
    ComparisonVerdict,
    InterimLook,
    Status,
    ThresholdResult,
    Verdict,
)
from pytest_arena.reports.html.films import Films
from pytest_arena.reports.html.job_section import LONGEST_TRACEBACK, job_section
from pytest_arena.reports.html.run_page import write_run_page
from pytest_arena.reports.html.stored_job import StoredJob
from tests.jobs import make_job
from tests.unit.gate.samples import episode, rates
from tests.unit.gate.test_job_gate import gate_of, play
from tests.unit.reports.html.page_jobs import stored

STORED_RUNS = Path(__file__).parents[3] / "stored_runs"
BROKEN = "cannot be shown"
RATE = Rule("success_rate", True, True, 0.0, 1.0, 0.05, 0.95)


def section(job: StoredJob) -> str:
    return job_section(job, Films(job.path.parent), {})


def text(html: str) -> str:
    """What *html* says, without its episodes."""
    without = re.sub(r"(?s)<section class=\"episodes\".*?</section>", "", html)
    plain = re.sub(r"<[^>]+>", " ", without)
    for entity, character in (("&gt;", ">"), ("&lt;", "<"), ("&#39;", "'"), ("&#34;", '"'), ("&amp;", "&")):
        plain = plain.replace(entity, character)
    return " ".join(plain.split())


def of_record(run_dir: Path, **changes: Any) -> str:
    return section(stored(run_dir, [], **{"status": Status.COMPLETED, **changes}))


def gated(outcomes: list[str], expression: str = ">= 0.8", **gate: Any) -> dict[str, Any]:
    made = gate_of(expression, **gate)
    play(made, outcomes)
    return {"gate": made.record}


def test_the_facts(tmp_path: Path) -> None:
    job = stored(
        tmp_path,
        [],
        status=Status.COMPLETED,
        episodes={"requested": 20, "measured": 10, "errors": 1, "beyond": 3},
        started_at="2026-11-30T13:52:49.779Z",
        timings={"total_seconds": 75.2},
    )
    (job.path / "record.json").write_text("{}")
    config = make_job(
        environment={"id": "x", "num_envs": 4, "seed": 7}, language_instruction="push the button"
    ).config()
    html = section(replace(job, entry=JobEntry(config, "jobs.yaml::rollout[reach]")))
    said = text(html)
    assert (
        "simulator gymnasium environment CartPole-v1 policy zero instruction “push the button” rows 4 seed 7"
        in said
    )
    assert "episodes 10 of 20 measured, 1 with an error, 3 more finished that the gate did not need" in said
    assert "started 2026-11-30 13:52:49 UTC took 75.2 s" in said
    assert 'href="reach/record.json"' in html
    assert BROKEN not in html


def test_thresholds_in_words_with_a_picture_for_rates(tmp_path: Path) -> None:
    rate = ThresholdResult("success_rate", ">= 0.8", 0.9, True, (0.7, 0.98), undecided=True)
    length = ThresholdResult("episode_length", "< 99", 120.0, False)
    missing = ThresholdResult("speed", "< 1", None, False, reason="no episode has it")
    html = of_record(tmp_path, thresholds=[rate, length, missing])
    assert (
        "✓ success_rate = 0.9 (95% interval 0.700 to 0.980), expected >= 0.8; the interval contains"
        in text(html)
    )
    assert "✗ episode_length = 120, expected < 99" in text(html)
    assert "✗ speed: not measured (no episode has it), expected < 1" in text(html)
    assert html.count("<circle") == 1


@pytest.mark.parametrize("method", ["spending", "e_process"])
@pytest.mark.parametrize("expression", [">= 0.8", "<= 0.2"])
@pytest.mark.parametrize("outcomes", [["success"], ["failure"], ["success", "failure"]])
def test_a_gate_in_words_and_as_a_picture(
    tmp_path: Path, method: str, expression: str, outcomes: list[str]
) -> None:
    html = of_record(tmp_path, **gated(outcomes * 60, expression, method=method))
    assert f"success_rate {expression}: " in text(html)
    assert html.count("<svg class=gate") == 1
    assert BROKEN not in html


def test_what_would_have_decided(tmp_path: Path) -> None:
    html = of_record(tmp_path, **gated((["success"] * 5 + ["failure"]) * 16 + ["success"] * 4))
    assert "gate.episodes_max: 1200 decides" in text(html)


def compared(before: list[int], after: list[int]) -> Comparison:
    return compare(rates(before), rates(after), RATE)


def test_a_paired_comparison_names_the_episodes_that_differ(tmp_path: Path) -> None:
    comparison = compared([1] * 19 + [0], [0, 1, 0] + [1] * 17)
    html = of_record(tmp_path, comparison=replace(comparison, baseline="/elsewhere/run"))
    assert "success_rate against the baseline: inconclusive; 95.0% before, 90.0% now" in text(html)
    assert "20 paired episodes" in text(html)
    assert 'href="#reach/episode-0"' in html
    assert 'href="#reach/episode-2"' in html
    assert 'href="#reach/episode-19"' in html
    assert "<video" not in html
    assert "The baseline is /elsewhere/run" in text(html)


def test_an_unpaired_comparison_has_words_alone(tmp_path: Path) -> None:
    elsewhere = tuple(replace(point, seed=7, initial_state="x") for point in rates([1] * 20).points)
    comparison = compare(replace(rates([1] * 20), points=elsewhere), rates([1] * 20), RATE)
    assert comparison.table is None
    html = of_record(tmp_path, comparison=comparison)
    assert "unpaired, 20 and 20 episodes" in text(html)
    assert "pairs-table" not in html
    assert BROKEN not in html


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (ComparisonVerdict.NOT_JUDGED, "The regression of success_rate is not judged: there is none"),
        (
            ComparisonVerdict.NOT_COMPARABLE,
            "success_rate against the baseline: not comparable: there is none",
        ),
    ],
)
def test_a_comparison_that_was_not_made(tmp_path: Path, verdict: ComparisonVerdict, said: str) -> None:
    html = of_record(tmp_path, comparison=Comparison("success_rate", verdict, reason="there is none"))
    assert said in text(html)
    assert BROKEN not in html


def filmed(run_dir: Path, name: str, episodes: list[int]) -> list[Episode]:
    found = []
    for index in episodes:
        path = f"reach/videos/episode-{index:04d}-env0-{name} 1.mp4"
        (run_dir / path).parent.mkdir(parents=True, exist_ok=True)
        (run_dir / path).write_bytes(b"film")
        found.append(episode(index, videos={"front": path}))
    return found


def test_films_of_both_runs_stand_side_by_side(tmp_path: Path) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    for run_dir in (before, now):
        run_dir.mkdir()
    stored(before, filmed(before, "a", [0, 2]))
    (before / "index.html").write_text("")
    films = filmed(now, "b", [0, 1, 2])
    comparison = replace(compared([1] * 20, [0, 0, 0] + [1] * 17), baseline=str(before))
    html = section(stored(now, films, status=Status.COMPLETED, comparison=comparison))
    assert re.findall(r'preload="none" src="([^"]*)"', html.partition('class="episodes"')[0]) == [
        "../before/reach/videos/episode-0000-env0-a%201.mp4",
        "reach/videos/episode-0000-env0-b%201.mp4",
        "../before/reach/videos/episode-0002-env0-a%201.mp4",
        "reach/videos/episode-0002-env0-b%201.mp4",
    ]
    assert 'href="../before/index.html#reach"' in html


def test_a_film_outside_of_the_baseline_is_not_shown(tmp_path: Path) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    for run_dir in (before, now):
        run_dir.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"")
    stored(before, [episode(0, videos={"front": "../secret.mp4"})])
    comparison = replace(compared([1] * 20, [0] + [1] * 19), baseline=str(before))
    html = section(stored(now, filmed(now, "b", [0]), status=Status.COMPLETED, comparison=comparison))
    assert not re.search(r'src="[^"]*secret', html)
    assert "1 path that leads out of the run directory, not followed: ../secret.mp4" in html


def test_an_error_keeps_the_end_of_a_long_traceback(tmp_path: Path) -> None:
    trace = "".join(f"  File {number}\n" for number in range(100_000)) + "RuntimeError: it <broke>\n"
    error = {"type": "RuntimeError", "message": "it <broke>\nand more", "traceback": trace}
    html = of_record(tmp_path, status=Status.ERROR, error=error, notes=["a note"])
    assert len(html) < LONGEST_TRACEBACK + 5000
    assert "RuntimeError : it <broke> and more" in text(html)
    assert "its beginning is in record.json" in html
    assert html.index("Traceback") < html.index("a note") < html.index("Episodes")


def test_an_error_without_its_keys(tmp_path: Path) -> None:
    assert BROKEN not in of_record(tmp_path, status=Status.CRASHED, error={})


def test_metrics_with_intervals_units_and_reasons(tmp_path: Path) -> None:
    html = of_record(
        tmp_path,
        metrics={"success_rate": 0.5, "episode_length": 12.0, "peak": 3.0, "time_to_success": None},
        intervals={"success_rate": wilson(5, 10)},
        unmeasured={"time_to_success": "no episode succeeded", "lost": "not known"},
        definitions={"peak": {"unit": "rad/s", "reduction": "max"}},
        reported=[(10, {}), (4, {"arena_rate": 0.25, "odd": None})],
    )
    said = text(html)
    assert "success_rate 0.5 0.237 to 0.763 episode_length steps 12" in said
    assert "peak rad/s, max over the episodes 3" in said
    assert "time_to_success steps not measured: no episode succeeded lost not measured: not known" in said
    assert "computed over 4 episodes: arena_rate 0.25, odd not measured" in said
    assert "over 10 episodes" not in said


def test_times_and_what_the_policy_cost(tmp_path: Path) -> None:
    act = {"count": 40, "p50_ms": 9.1, "p95_ms": 14.2, "max_ms": None, "total_seconds": 11.0}
    requests = {"count": 5, "p50_ms": 80.0, "p95_ms": 90.0, "max_ms": 95.0, "total_seconds": 0.4}
    html = of_record(
        tmp_path,
        timings={"build_seconds": 0.8, "rollout_seconds": 22.0, "extra_seconds": 2.0, "total_seconds": 30.0},
        inference={"batch": 4, "real_time_factor": 2.1, "act": act, "requests": requests},
    )
    said = text(html)
    assert "build 800 ms rollout 22.0 s extra 2.0 s other 5.2 s total 30.0 s" in said
    assert (
        "Policy, a step of 4 rows: median 9.1 ms, 95% within 14.2 ms, longest ? ms; 40 steps took 11.0 s, "
        "50% of the rollout" in said
    )
    answers = "its model or server, an answer: median 80 ms, 95% within 90 ms, longest 95 ms; 5 answers"
    assert f"{answers}; 2.1 times real time." in said
    widths = [float(end) - float(begin) for begin, end in re.findall(r'd="M([\d.]+) 4H([\d.]+)"', html)]
    assert sum(widths) == pytest.approx(400, abs=1)
    assert max(widths) == pytest.approx(400 * 22 / 30, abs=1)


def test_a_build_before_the_rollout_is_not_in_the_total(tmp_path: Path) -> None:
    timings = {"build_seconds": 90.0, "rollout_seconds": 9.0, "total_seconds": 10.0}
    said = text(of_record(tmp_path, timings=timings))
    assert "build 90.0 s rollout 9.0 s other 1.0 s total without the first build 10.0 s" in said
    config = make_job("reach", rollout={"episodes": 4, "rebuilds": 2}).config()
    rebuilt = replace(stored(tmp_path, [], timings=timings), entry=JobEntry(config))
    assert "build 90.0 s rollout 9.0 s total without the first build 10.0 s" in text(section(rebuilt))


def test_identity_without_what_the_run_says(tmp_path: Path) -> None:
    job = stored(
        tmp_path,
        [],
        status=Status.COMPLETED,
        identity={
            "versions": {"numpy": "2.4.6", "torch": "2.13"},
            "policy": {"checkpoint_sha256": "ab" * 32},
            "capabilities": {"autoreset": "manual", "deterministic": True, "partial_reset": False},
            "environment": {},
        },
        config_sha256="cd" * 32,
        reproducible=True,
    )
    said = text(section(replace(job, versions={"numpy": "2.4.6", "torch": "2.12"})))
    assert "configuration: cdcdcdcdcdcd " in said
    assert (
        "versions: torch 2.13 policy: checkpoint_sha256 abababababab capabilities: autoreset manual" in said
    )
    assert "deterministic, partial_reset false" in said


def test_other_attempts_shards_and_groups_are_named(tmp_path: Path) -> None:
    job = replace(stored(tmp_path, []), attempts=["reach", "reach.2"], groups=["smoke"])
    html = section(job)
    assert "Attempt 1 of 2. What counts is the last one: reach.2" in text(html)
    assert 'href="#reach.2"' in html
    assert "In the group smoke" in text(html)
    last = replace(job, path=tmp_path / "reach.2", attempt=2, shards=["reach-shard0of2"])
    html = section(last)
    assert "Attempt 2 of 2. Earlier ones: reach" in text(html)
    assert "Joined from 1 shards: reach-shard0of2" in text(html)
    entry = JobEntry(shard=ShardEntry(0, 2, "whole", "x"))
    assert 'href="#whole"' in section(replace(job, entry=entry))


def test_a_job_that_never_ran_shows_what_the_manifest_knows(tmp_path: Path) -> None:
    config = make_job(environment={"id": "Reach-v3", "num_envs": 3}).config()
    entry = JobEntry(config, "jobs.yaml::rollout[lost]", file="jobs.yaml", line=3)
    job = StoredJob(tmp_path / "lost", "lost", 1, None, entry, ["record.json cannot be read: it is half"])
    said = text(section(job))
    assert "lost never ran" in said
    assert "environment Reach-v3 policy zero rows 3" in said
    assert "record.json cannot be read: it is half" in said
    assert "test: jobs.yaml::rollout[lost]" in said
    assert "num_envs: 3" in said


def broken_gate() -> dict[str, Any]:
    changed = gated(["success"] * 60)
    changed["gate"].tests[0].pass_at.pop()
    return changed


def test_what_is_broken_costs_its_own_part_a_note(tmp_path: Path) -> None:
    half = Comparison("success_rate", ComparisonVerdict.REGRESSION, value=0.5, baseline_value=0.9)
    html = of_record(
        tmp_path,
        thresholds=[
            ThresholdResult("a", "nonsense", 0.5, True, (0.1, 0.9)),
            ThresholdResult("b", "<1", 2, False),
        ],
        comparison=half,
        inference={"act": {"count": 3}},
        metrics={"success_rate": 0.5},
        **broken_gate(),
    )
    said = text(html)
    assert "Its picture cannot be shown: ValueError: expected a threshold" in said
    assert "b = 2, expected <1" in said
    assert "The gate's picture cannot be shown: ValueError: zip()" in said
    assert "success_rate >= 0.8: pass after" in said, "the words are there"
    assert "The comparison cannot be shown: KeyError: 'baseline'" in said
    assert "The timings cannot be shown: KeyError: 'total_seconds'" in said
    assert "success_rate 0.5" in said


def test_what_others_wrote_is_text(tmp_path: Path) -> None:
    hostile = "</noscript><script>alert(1)</script>\u202e\"'<b>"
    record = JobRecord(
        "reach", 1, hostile, hostile, hostile, hostile, nodeid=hostile, notes=[hostile],
        metrics={hostile: 0.5}, unmeasured={hostile * 2: hostile}, intervals={hostile: (0.0, 1.0)},
        identity={hostile: {hostile: hostile}}, timings={hostile: 1.0}, reported=[(1, {hostile: 1.0})],
        definitions={hostile: {"unit": hostile}}, error={"type": hostile, "message": hostile, "traceback": hostile},
        thresholds=[ThresholdResult(hostile, hostile, 0.5, True, (0.0, 1.0), reason=hostile)],
        comparison=replace(compared([1] * 20, [0] * 20), metric=hostile, baseline=hostile, notes=[hostile]),
        started_at=hostile,
        **gated(["success"] * 60),
    )  # fmt: skip
    assert record.gate is not None
    record.gate.tests[0].metric = hostile
    job = stored(tmp_path, [])
    entry = JobEntry({"simulator": hostile, hostile: hostile, "policy": {"type": hostile}}, hostile)
    html = section(replace(job, record=record, entry=entry, groups=[hostile], attempts=["reach", hostile]))
    assert "<script" not in html
    assert html.count("</noscript>") == 1
    assert html.count("</section>") == 2, "the job's and that of its episodes"


def test_an_old_run_is_rendered(tmp_path: Path) -> None:
    for run in ("baseline", "interrupted"):
        target = tmp_path / run
        target.mkdir()
        for path in (STORED_RUNS / "v0.1.0" / run).rglob("*.json*"):
            copy = target / path.relative_to(STORED_RUNS / "v0.1.0" / run)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        html = write_run_page(target).read_text()
        assert BROKEN not in html
        assert "Configuration" in html


def test_a_usual_job_is_small(tmp_path: Path) -> None:
    path = STORED_RUNS / "v0.1.0" / "baseline" / "compared"
    record = JobRecord.from_json(json.loads((path / "record.json").read_text()))
    job = replace(stored(tmp_path, [], "compared"), record=replace(record, comparison=None))
    config = make_job(thresholds={"success_rate": ">= 0.5"}).config()
    html = section(replace(job, entry=JobEntry(config), versions=record.identity["versions"]))
    without_episodes = re.sub(r"(?s)<section class=\"episodes\".*?</section>", "", html)
    assert len(without_episodes) < 2200


def test_a_verdict_of_each_kind_of_look(tmp_path: Path) -> None:
    for verdict in Verdict:
        record = gated(["success"] * 10)["gate"]
        record.tests[0].path = [InterimLook(10, 9, 1, verdict, held=True)]
        record.tests[0].verdict = verdict
        assert BROKEN not in of_record(tmp_path, gate=record)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.ERROR])
def test_thresholds_of_a_job_that_did_not_complete_are_said_to_decide_nothing(
    tmp_path: Path, status: Status
) -> None:
    held = ThresholdResult("success_rate", ">= 0.8", 1.0, True, (0.51, 1.0))
    said = text(of_record(tmp_path, status=status, thresholds=[held]))
    assert ("The job did not complete: its episodes decide nothing." in said) == (status == Status.ERROR)


def test_the_option_that_filmed_is_told_beside_the_configuration(tmp_path: Path) -> None:
    config = make_job("reach", record={"video": "off"}).config()
    job = replace(stored(tmp_path, []), entry=JobEntry(config))
    told = "# --arena-video on, whatever record.video says"
    assert told in text(section(replace(job, video="on")))
    assert "--arena-video" not in text(section(job))
