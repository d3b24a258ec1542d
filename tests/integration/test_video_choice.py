"""Which films are kept, and what they hold."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from tests.integration.conftest import Suite

CAMERA = {"environment": {"cameras": {"render": {}}, "num_envs": 2}, "rollout": {"episodes": 6}}


def frames(path: Path) -> int:
    with av.open(str(path)) as film:
        return sum(1 for _ in film.decode(video=0))


@pytest.mark.parametrize(
    ("job", "args", "kept"),
    [
        ({}, [], "failures"),
        ({"record": {"video": "on"}}, [], "all"),
        ({"record": {"video": False}}, [], "none"),
        ({"record": {"video": "on"}}, ["--arena-video", "off"], "none"),
        ({"record": {"video": "off"}}, ["--arena-video", "on"], "all"),
        ({}, ["--arena-video", "retain-on-failure"], "failures"),
        ({}, ["-o", "arena_video=on"], "all"),
        ({"record": {"video": "off"}}, ["-o", "arena_video=on"], "none"),
    ],
)
def test_command_line_over_job_over_ini_over_default(
    suite: Suite, job: dict[str, object], args: list[str], kept: str
) -> None:
    suite.jobs({"job": {**CAMERA, **job}})
    suite.test()
    assert suite.run(*args).ret == 0
    episodes = suite.episodes("job")
    wanted = {
        "all": {e["episode"] for e in episodes},
        "none": set(),
        "failures": {e["episode"] for e in episodes if e["outcome"] == "failure"},
    }[kept]
    assert kept == "none" or wanted
    assert {e["episode"] for e in episodes if e["videos"]} == wanted
    on_disk = sorted(suite.run_dir.glob("job/videos/*"))
    assert len(on_disk) == len(wanted)
    assert suite.arena("job")["videos"] == [p.relative_to(suite.run_dir).as_posix() for p in on_disk]
    made = suite.arena("job")["overview"].values()
    assert sorted(made) == sorted(f"job/{path.name}" for path in suite.run_dir.glob("job/overview.*"))
    assert len(made) == (3 if wanted else 0)
    for episode in episodes:
        for path in episode["videos"].values():
            assert path == f"job/videos/episode-{episode['episode']:04d}-env{episode['env_idx']}-render.mp4"
            assert frames(suite.run_dir / path) == episode["length"] + 1


def test_numbers_do_not_depend_on_recording(suite: Suite) -> None:
    suite.jobs({"job": CAMERA})
    suite.test()
    told = []
    for choice in ("off", "on"):
        suite.run("--arena-video", choice)
        told.append([(e["seed"], e["length"], e["return"], e["outcome"]) for e in suite.episodes("job")])
    assert told[0] == told[1]


def test_a_camera_that_the_environment_lacks(suite: Suite) -> None:
    suite.jobs({"job": {**CAMERA, "record": {"cameras": ["rendr"]}}})
    suite.test()
    result = suite.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        ["ERROR: jobs.yaml:*: jobs.job.record.cameras: *rendr*did you mean 'render'*"]
    )
