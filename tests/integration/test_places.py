"""Where results go: places that cannot be written to, and working directories that change."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from tests.integration.conftest import Suite, parse


@pytest.mark.parametrize("args", [(), ("-n", "1")], ids=["alone", "n1"])
def test_a_disk_that_is_full_from_the_start(suite: Suite, small_disk: Path, args: tuple[str, ...]) -> None:
    with contextlib.suppress(OSError), (small_disk / "full").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    suite.jobs({"job": {}})
    result = suite.run("--arena-jobs", "jobs.yaml", "--arena-output", str(small_disk / "out"), *args)
    assert result.ret == 3
    shown = result.stdout.str()
    assert f"{small_disk / 'out'}: results could not be written: No space left on device" in shown
    assert "INTERNALERROR" not in shown
    assert list((small_disk / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("place", "words"),
    [("file", "this is a file"), ("dangling", "this is a link that leads nowhere"), ("x" * 300, "too long")],
    ids=["file", "dangling", "long"],
)
def test_where_there_can_be_no_run_directory(suite: Suite, place: str, words: str) -> None:
    (suite.path / "file").touch()
    (suite.path / "dangling").symlink_to("/nowhere/at/all")
    suite.jobs({"job": {}})
    result = suite.run("--arena-jobs", "jobs.yaml", "--arena-output", place)
    assert result.ret == 4
    (line,) = [line for line in result.stderr.lines if line]
    assert line.startswith("ERROR: --arena-output")
    assert words in line


MOVES = """
import os
os.makedirs("elsewhere", exist_ok=True)

def pytest_configure():
    os.chdir("elsewhere")
"""
FULL_JOIN = """
import pytest
from pytest_arena.evaluation import join_shards
from pytest_arena.records import attempt

write = attempt.write_json

@pytest.fixture(autouse=True)
def full_after_the_last_shard(request):
    yield
    if "shard1of2" in request.node.name:
        def full(path, data):
            if path.parent.name == "parts":
                raise OSError(28, "No space left on device")
            write(path, data)
        attempt.write_json = join_shards.write_json = full
"""


def test_a_changed_working_directory_no_hard_links_and_a_disk_that_fills_at_the_join(suite: Suite) -> None:
    suite.jobs(
        {"parts": {"rollout": {"episodes": 4, "shards": 2}}, "later": {"environment": {"num_envs": 2}}}
    )
    suite.test()
    refuse = "import os\ndef link(*_, **__): raise OSError(95, 'Operation not supported')\nos.link = link\n"
    suite.pytester.makeconftest(MOVES + refuse + FULL_JOIN)
    result = suite.run("--arena-output", "a:b é/%d")
    assert result.ret == 3
    assert "INTERNALERROR" not in result.stdout.str()
    (run,) = (suite.path / "a:b é" / "%d").glob("2*")
    result.stdout.fnmatch_lines(
        [
            "parts/record.json could not be written: No space left on device",
            f"results: {os.path.relpath(run, suite.path)}",
        ]
    )
    assert parse((run / "later" / "record.json").read_text())["status"] == "completed"
    assert parse((run / "run.json").read_text())["exit_status"] == 3
