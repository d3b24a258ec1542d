"""Job files and records that somebody else has written, as a browser shows them: nothing of them runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_arena.reports.html.run_page import write_run_page
from tests.browser import Pages
from tests.inner import inner_environment
from tests.synthetic_runs import write_run
from tests.unit.reports.html.test_hostile_text import PIECES, rewrite

HOSTILE = (
    "</script><script>pwned()</script></noscript><img src=http://pwned.example/x onerror=pwned()><!-- "
    "\"'><pwned onclick=pwned()></style></title></textarea></pre></svg> {{ 7*7 }} &lt;b&gt; \u202e\u2066 é"
)
"""What would run in a page that takes it for more than text: what it asks for, and says, fails the test."""
MODULE = """
import gymnasium
import numpy as np
from tests.fakes import ScriptedEnv

class Env(ScriptedEnv):
    def __init__(self, text="", **settings):
        super().__init__(**settings)

gymnasium.register("hostile/Env-v0", Env, max_episode_steps=50, disable_env_checker=True)

class Policy:
    def __init__(self, env, text, fails=False):
        self.env, self.text, self.fails = env, text, fails
        self.identity = {text: text}

    def act(self, observation):
        if self.fails:
            raise ValueError(self.text)
        return np.zeros((self.env.num_envs, 2), np.float32)
"""
CONFTEST = """
from pytest_arena import Metric

class Long(Metric):
    name, unit = {name!r}, {unit!r}
    def end(self, row, episode):
        return 0.5

def pytest_arena_metrics(job):
    return [Long()]
"""
LONG = HOSTILE + "m" * 10_000


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of a hostile job file: one job ends with an error, the other one is measured."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "hostile.py").write_text(MODULE)
    (folder / "conftest.py").write_text(CONFTEST.format(name=LONG, unit=HOSTILE))
    jobs = {
        "defaults": {
            "simulator": "gymnasium",
            "environment": {
                "id": "hostile:hostile/Env-v0",
                "seed": 2**63 - 1,
                "cameras": {"render": {}},
                "options": {"make": {"text": HOSTILE}},
            },
            "policy": {"type": "hostile:Policy", "text": HOSTILE},
            "rollout": {"episodes": 3},
            "record": {"video": "on"},
            "language_instruction": HOSTILE,
            "tags": ["script", "noscript"],
        },
        "jobs": {
            "script": {"thresholds": {"episode_length": ">= 1"}},
            "noscript": {"policy": {"fails": True}},
        },
    }
    (folder / "jobs.yaml").write_text(yaml.safe_dump(jobs))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--arena-jobs", "jobs.yaml"]
    environment = inner_environment()
    environment["PYTHONPATH"] += f":{folder}"
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    (run,) = (folder / "arena-results").glob("2*")
    return run


@pytest.mark.parametrize("javascript", [True, False])
def test_a_hostile_job_file_is_text(open_page: Pages, hostile_run: Path, javascript: bool) -> None:
    page = open_page(hostile_run / "index.html", javascript=javascript)
    require_inert(page)
    for job in ("script", "noscript"):
        page = open_page(hostile_run / "index.html", address=job, javascript=javascript)
        require_inert(page)
        said = page.text_content(f"#{job}")
        assert HOSTILE in said, "the instruction, the settings of the policy"
        assert str(2**63 - 1) in said
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert "ValueError" in said
    assert said.count(HOSTILE) > 3, "the error and its traceback too"
    said = open_page(hostile_run / "index.html", address="script", javascript=javascript).text_content(
        "#script"
    )
    assert LONG in said, "the metric"


@pytest.mark.parametrize("javascript", [True, False])
def test_hostile_records_are_text(open_page: Pages, tmp_path: Path, javascript: bool) -> None:
    whole = write_run(tmp_path, [0, 1, 2, 40, 42, 96], 3)
    everything = "".join(piece for piece in PIECES if piece.isprintable())
    rewrite(whole, tmp_path / "hostile", lambda text: everything)
    path = write_run_page(tmp_path / "hostile")
    for address in ("", "reach-0", "reach-0/episode-1", "push-1", "door-open-2", "window-open-40"):
        page = open_page(path, address=address, javascript=javascript)
        require_inert(page)
        if address:
            assert everything in page.text_content(f"[id='{address.partition('/')[0]}']")


@pytest.mark.parametrize("javascript", [True, False])
def test_films_of_any_name_play(open_page: Pages, tmp_path: Path, javascript: bool) -> None:
    run = write_run(tmp_path, [0], 3)
    name = "a\"'><img src=x onerror=pwned()>?x=1#y %41 \u202eé&amp;.mp4"
    lines = []
    for line in (run / "reach-0" / "episodes.jsonl").read_text().splitlines():
        episode = json.loads(line)
        film = f"reach-0/videos/{episode['episode']}{name}"
        shutil.copy(run / episode["videos"]["corner2"], run / film)
        lines.append(json.dumps({**episode, "videos": {"<pwned>": film}}) + "\n")
    (run / "reach-0" / "episodes.jsonl").write_text("".join(lines))
    page = open_page(write_run_page(run), address="reach-0/episode-1", javascript=javascript)
    require_inert(page)
    video = page.locator("#reach-0 video[src]").first
    played = video.evaluate(
        """async video => {
            video.muted = true
            await video.play()
            return video.videoWidth
        }"""
    )
    assert played == 96
    assert "<pwned>" in page.text_content("#reach-0")


def require_inert(page: Any) -> None:
    """Fail if *page* has an element that is not ours; what runs is seen by `open_page`."""
    found = page.evaluate(
        """() => {
            const all = [...document.querySelectorAll("*")]
            return {
                pwned: all.filter(one => ["PWNED", "IMG", "IFRAME"].includes(one.tagName)).length,
                attributes: all.flatMap(one => one.getAttributeNames()).filter(name => name.startsWith("on")),
                scripts: document.scripts.length,
            }
        }"""
    )
    assert found == {"pwned": 0, "attributes": [], "scripts": 1}
