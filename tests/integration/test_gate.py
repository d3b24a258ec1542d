"""``gate``: what its verdicts are to pytest, and that they do not depend on how a run is cut up."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from pytest_arena import RunDirectory, read_episodes
from pytest_arena.gate.recheck import recheck
from tests.integration.conftest import Suite
from tests.integration.test_resume import play, trapped

LOW, HALF = {"success_rate": ">= 0.3"}, {"success_rate": ">= 0.5"}
"""The scripted environment succeeds in about half of its episodes."""
DECIDED = ("metrics", "intervals", "thresholds", "gate", "verdict", "status")


def decided(suite: Suite, job: str) -> dict[str, Any]:
    record = suite.record(job)
    return {**{key: record[key] for key in DECIDED}, "measured": record["episodes"]["measured"]}


def check_again(suite: Suite) -> None:
    """Every verdict on disk follows from the rule and the episodes on disk."""
    run = RunDirectory(suite.run_dir)
    records = list(run.records())
    assert any(record.gate for record in records)
    for record in records:
        assert recheck(record, read_episodes(run.path / str(record.episodes_path))) == []


def test_verdicts_however_the_run_is_cut_up(suite: Suite) -> None:
    gate = {"episodes_max": 60}
    suite.jobs(
        {
            "good": {"thresholds": {**LOW, "episode_length": "< 99"}, "gate": gate},
            "rows": {
                "thresholds": {**LOW, "episode_length": "< 99"},
                "gate": gate,
                "environment": {"num_envs": 7},
            },
            "parts": {
                "thresholds": {**LOW, "episode_length": "< 99"},
                "gate": gate,
                "rollout": {"shards": 3},
            },
            "bad": {"thresholds": {"success_rate": ">= 0.8"}, "gate": gate},
            "open": {"thresholds": HALF, "gate": gate},
            "excused": {"thresholds": HALF, "gate": {**gate, "inconclusive": "xfail"}},
            "excused_parts": {
                "thresholds": HALF,
                "gate": {**gate, "inconclusive": "xfail"},
                "rollout": {"shards": 2},
            },
            "waved": {"thresholds": HALF, "gate": {**gate, "inconclusive": "pass"}},
            "long": {
                "thresholds": {**HALF, "episode_length": "< 1"},
                "gate": {**gate, "inconclusive": "pass"},
            },
        }
    )
    suite.test()
    found = []
    for args in ([], ["-n", "2"]):
        result = suite.run("--junitxml=junit.xml", "-rx", *args)
        assert result.ret == 1, result.stdout.str()
        outcomes = {job: outcome for job, outcome in suite.outcomes().items() if "-shard" not in job}
        assert outcomes == {
            "good": "passed", "rows": "passed", "parts": "passed", "bad": "failed", "open": "failed",
            "excused": "xfailed", "excused_parts": "xfailed", "waved": "passed", "long": "failed",
        }  # fmt: skip
        check_again(suite)
        found.append({job: decided(suite, job) for job in outcomes})
        verdicts = {job: of["verdict"] for job, of in found[-1].items()}
        assert verdicts == {
            "good": "pass", "rows": "pass", "parts": "pass", "bad": "fail", "open": "inconclusive",
            "excused": "inconclusive", "excused_parts": "inconclusive", "waved": "inconclusive", "long": "fail",
        }  # fmt: skip
        assert found[-1]["good"] == found[-1]["rows"] == found[-1]["parts"]
        assert suite.arena("excused_parts")["gate"] == found[-1]["excused_parts"]["gate"]
        result.stdout.fnmatch_lines(
            [
                "*job 'open': 1 of 1 thresholds inconclusive over 60 episodes",
                "*[?] success_rate = 0.* (interval 0.* to 0.*), expected >= 0.5",
                "*success_rate >= 0.5: inconclusive after all 60 episodes: * successes, * or more pass, * fail; *",
            ]
        )
        result.stdout.fnmatch_lines(
            ["good *30/60*pass*", "  success_rate >= 0.3: pass after 30 of at most 60 episodes: *"]
        )
        result.stdout.fnmatch_lines(
            ["XFAIL *excused_parts* - success_rate >= 0.5: inconclusive after all 60*"]
        )
    assert found[0] == found[1]
    properties = {p.get("value") for p in ET.parse(suite.path / "junit.xml").iter("property")}
    assert {"pass", "fail", "inconclusive"} <= properties


def test_an_undecided_gate_is_no_pass_under_runxfail(suite: Suite) -> None:
    """``--runxfail`` reports what is excused as if it were not, and makes `pytest.xfail` do nothing."""
    suite.jobs({"excused": {"thresholds": HALF, "gate": {"episodes_max": 60, "inconclusive": "xfail"}}})
    suite.test()
    assert suite.run("--runxfail").ret == 1
    assert suite.outcomes() == {"excused": "failed"}


def test_going_on_until_decided(suite: Suite) -> None:
    """Killed before the decision, the run goes on to the same one; decided, it is not simulated again."""
    gated = {"thresholds": LOW, "gate": {"episodes_max": 60}}
    suite.jobs({"whole": gated, "plain": {}, "cut": trapped(suite, "SIGKILL", 13, **gated)})
    suite.test()
    assert play(suite) != 0
    result = suite.run("--arena-resume", str(suite.run_dir))
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "job *  success [[]interval[]] *",
            "intervals of gated jobs hold wherever the run stopped; each end with the confidence of its gate",
            "intervals of the other jobs: 95%, Wilson's",
        ]
    )
    assert decided(suite, "cut") == decided(suite, "whole")
    check_again(suite)
    before = suite.episodes("cut")
    suite.pytester.makeconftest(
        """
        from pytest_arena.simulators.gymnasium import simulator

        def make(self, job):
            raise AssertionError("built again")

        simulator.GymnasiumSimulator.make = make
        """
    )
    assert suite.run("--arena-resume", str(suite.run_dir)).ret == 0
    assert suite.episodes("cut") == before
    assert decided(suite, "cut") == decided(suite, "whole")


def test_an_e_process_goes_on_beyond_its_budget(suite: Suite) -> None:
    gates = {method: {"episodes_max": 20, "method": method} for method in ("e_process", "spending")}
    suite.jobs({method: {"thresholds": LOW, "gate": gate} for method, gate in gates.items()})
    suite.test()
    larger = ("--arena-set", "gate.episodes_max=100")
    assert suite.run().ret == 1
    assert {suite.arena(method)["verdict"] for method in gates} == {"inconclusive"}
    assert suite.run("-k", "e_process", "--arena-resume", str(suite.run_dir), *larger).ret == 0
    assert suite.arena("e_process")["verdict"] == "pass"
    gate = suite.record("e_process")["gate"]
    assert (gate["episodes_max"], gate["counted"]) == (100, gate["tests"][0]["path"][-1]["episodes"])
    assert 20 < gate["counted"] < 100
    check_again(suite)
    result = suite.run("-k", "spending", "--arena-resume", str(suite.run_dir), *larger)
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        [
            "*these keys differ: gate.episodes_max, rollout.episodes; a budget can only grow, with gate.method: e_process*"
        ]
    )


def test_a_budget_that_cannot_decide_is_refused_at_collection(suite: Suite) -> None:
    suite.jobs({"job": {"thresholds": {"success_rate": ">= 0.01"}, "gate": {"episodes_max": 300}}})
    suite.test()
    result = suite.run("--arena-set", "gate.episodes_max=200")
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        [
            "ERROR: --arena-set gate.episodes_max=200: expected at least 299: in 200 episodes success_rate "
            ">= 0.01 can never fail with the gate's error rates"
        ]
    )
