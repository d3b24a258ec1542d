"""Which GPU a real xdist worker is given. No GPU is needed: only names are handed out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Suite
from tests.integration.what_ran import LOGGED, ran

SLOW = """
import time
import pytest

@pytest.mark.arena("jobs.yaml")
def test_it(arena_rollout):
    time.sleep(0.3)
    arena_rollout()
"""


@pytest.fixture
def pinned(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Suite]:
    """A suite of six jobs, and a caller with three devices."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-aaaa,MIG-bbbb")
    for name in ("PYTEST_ARENA_GPU", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    suite.pytester.makeconftest(LOGGED)
    suite.jobs({f"job{i}": {"environment": {"num_envs": i + 1}} for i in range(6)})
    suite.test(SLOW)
    return suite


def devices(suite: Suite) -> dict[str, tuple[str | None, str | None]]:
    """Worker -> its device, and the position of that."""
    return {line["worker"]: (line["CUDA_VISIBLE_DEVICES"], line["PYTEST_ARENA_GPU"]) for line in ran(suite)}


def test_each_worker_gets_one_of_the_callers_devices(pinned: Suite) -> None:
    result = pinned.run("-n", "3")
    result.assert_outcomes(passed=6)
    assert devices(pinned) == {"gw0": ("3", "0"), "gw1": ("GPU-aaaa", "1"), "gw2": ("MIG-bbbb", "2")}
    assert "more workers than GPUs" not in result.stdout.str()


def test_auto_is_a_worker_a_gpu(pinned: Suite) -> None:
    pinned.run("-n", "auto").assert_outcomes(passed=6)
    assert sorted(devices(pinned)) == ["gw0", "gw1", "gw2"]


def test_more_workers_than_gpus_share_them_and_are_told(pinned: Suite) -> None:
    result = pinned.run("-n", "3", "--arena-gpus", "3,GPU-aaaa")
    result.assert_outcomes(passed=6)
    assert devices(pinned)["gw2"] == ("3", "0")
    result.stdout.fnmatch_lines(["arena: more workers than GPUs: 2 share one, --arena-workers-per-gpu is 1*"])


def test_a_device_that_a_worker_brings_stays(pinned: Suite) -> None:
    own = "popen//env:CUDA_VISIBLE_DEVICES=7//env:OMP_NUM_THREADS=5"
    pinned.run("--dist", "load", "--tx", own, "--tx", "popen").assert_outcomes(passed=6)
    assert devices(pinned) == {"gw0": ("7", None), "gw1": ("3", "0")}
    share = str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert {line["worker"]: line["OMP_NUM_THREADS"] for line in ran(pinned)} == {"gw0": "5", "gw1": share}
    assert {line["MKL_NUM_THREADS"] for line in ran(pinned)} == {share}


def test_a_replacement_has_the_device_of_the_worker_that_died(pinned: Suite) -> None:
    pinned.test(
        """
        import os, pathlib, time
        import pytest

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout):
            worker = os.environ["PYTEST_XDIST_WORKER"]
            arena_rollout()
            if worker == "gw1":
                os._exit(1)
            pathlib.Path(f"{worker}.ran").touch()
            end = time.monotonic() + 60  # leave something to the replacement, however long its start takes
            while not pathlib.Path("gw2.ran").exists() and time.monotonic() < end:
                time.sleep(0.1)
        """
    )
    pinned.run("-n", "2").assert_outcomes(passed=5, failed=1)
    assert devices(pinned) == {"gw0": ("3", "0"), "gw1": ("GPU-aaaa", "1"), "gw2": ("GPU-aaaa", "1")}


def test_a_hidden_device_is_refused(pinned: Suite) -> None:
    result = pinned.run("-n", "2", "--arena-gpus", "0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "does not make 0 visible" in result.stdout.str() + result.stderr.str()


def test_devices_are_found_with_nvidia_smi(pinned: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Path(pinned.pytester.mkdir("bin"), "nvidia-smi")
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    pinned.run("-n", "2").assert_outcomes(passed=6)
    assert devices(pinned) == {"gw0": ("0", "0"), "gw1": ("1", "1")}


def test_a_session_without_evaluations_is_left_alone(pinned: Suite) -> None:
    Path(pinned.path, "test_it.py").write_text("def test_plain(): pass\n")
    pinned.run("-n", "1").assert_outcomes(passed=1)
    assert devices(pinned) == {"gw0": ("3,GPU-aaaa,MIG-bbbb", None)}
    assert ran(pinned)[0]["OMP_NUM_THREADS"] is None
