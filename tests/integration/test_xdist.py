"""Several workers, one run directory."""

from __future__ import annotations

import json

from tests.integration.conftest import Suite

JOBS = {f"job{i}": {"environment": {"num_envs": i % 2 + 1}} for i in range(5)}


def test_one_directory_and_complete_reports(suite: Suite) -> None:
    suite.jobs({**JOBS, "bad": {"thresholds": {"success_rate": "> 0.99"}}})
    suite.test()
    result = suite.run("-n", "2")
    assert result.ret == 1
    result.assert_outcomes(passed=5, failed=1)
    assert len(suite.run_dirs) == 1
    assert suite.outcomes()["bad"] == "failed"
    assert suite.arena("bad")["verdict"] == "fail"
    assert set(json.loads((suite.run_dir / "metrics.json").read_text())) == {*JOBS, "bad"}
    manifest = json.loads((suite.run_dir / "run.json").read_text())
    assert manifest["exit_status"] == 1
    assert "-n" in manifest["command"]
    result.stdout.fnmatch_lines(["*= arena =*", "*bad *fail*"])


def test_the_same_numbers_as_in_process(suite: Suite) -> None:
    suite.jobs(JOBS)
    suite.test()
    told = []
    for args in ([], ["-n", "1"], ["-n", "3"]):
        assert suite.run(*args).ret == 0
        told.append(
            {job: [(e["seed"], e["length"], e["return"]) for e in suite.episodes(job)] for job in JOBS}
        )
    assert told[0] == told[1] == told[2]


def test_odd_metadata_does_not_break_the_transport(suite: Suite) -> None:
    suite.jobs({"job": {}})
    suite.test(
        """
        import logging, pathlib
        import numpy as np
        import pytest

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout, json_metadata, record_property):
            arena_rollout()
            json_metadata["odd"] = {"nan": float("nan"), "numpy": np.float32(1.5), "path": pathlib.Path("a/b")}
            record_property("odd", np.int64(3))
            logging.getLogger().warning("odd", extra={"thing": object()})
        """
    )
    for args in ([], ["-n", "1"]):
        result = suite.run(*args)
        assert result.ret == 0, result.stdout.str()
        (test,) = suite.report()["tests"]
        assert test["metadata"]["odd"] == {"nan": None, "numpy": 1.5, "path": "a/b"}
        assert {"odd": 3} in test["user_properties"]


def test_a_bad_file_is_an_error_in_every_process(suite: Suite) -> None:
    suite.jobs({"job": {"rollout": {"episodes": "ten"}}})
    suite.test()
    result = suite.run("-n", "2")
    assert result.ret != 0
    assert "expected an integer, got 'ten'" in result.stdout.str() + result.stderr.str()
