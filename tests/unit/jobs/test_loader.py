from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from jobs_examples import ALL, METAWORLD

from pytest_arena import JobFileError, load_jobs
from pytest_arena.jobs import messages


@pytest.mark.parametrize("name", ALL)
def test_every_example_loads(load: Any, name: str) -> None:
    jobs = load(ALL[name], name)
    assert jobs
    for job in jobs:
        assert job.source.file == Path(name).absolute()


def test_the_format_is_chosen_by_what_the_file_holds(load: Any) -> None:
    native, legacy, typed = (ALL[name] for name in ("metaworld.yaml", "zero_action.json", "variations.yaml"))
    assert load(native, "x.txt")[0].simulator == "metaworld"
    assert load(legacy, "x.txt")[0].simulator == "isaaclab_arena"
    assert load(typed, "x.txt")[0].simulator == "isaaclab_arena"


def test_native_jobs_may_be_json(load: Any) -> None:
    text = (
        '{"jobs": {"a": {"simulator": "s", "environment": {"id": "x"},\n'
        '"policy": {"type": "p", "n": 1e3}, "rollout": {"steps": 1}}}}'
    )
    (job,) = load(text, "jobs.json")
    assert job.policy.settings == {"n": 1000.0}
    assert str(job.problem(("policy",), "bad")) == "jobs.json:2: jobs.a.policy: bad"


def test_a_byte_order_mark_and_windows_lines_are_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + METAWORLD.replace("\n", "\r\n").encode())
    assert load_jobs(file)[0].name == "reach"


def test_several_problems_are_counted(load: Any) -> None:
    text = METAWORLD.replace("id: reach-v3", "sed: 1").replace("[smoke]", "[skip]")
    with pytest.raises(JobFileError) as caught:
        load(text)
    assert str(caught.value).startswith("jobs.yaml:8: jobs.reach.environment.")
    assert str(caught.value).endswith("; 2 more problems in this file")


def test_a_problem_in_the_defaults_counts_once(load: Any) -> None:
    with pytest.raises(JobFileError) as caught:
        load(METAWORLD.replace("num_envs: 4", "num_env: 4"))
    assert str(caught.value) == (
        "jobs.yaml:3: defaults.environment.num_env: unknown key (did you mean 'num_envs'?)"
    )


def test_the_shorter_path_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "evals"
    folder.mkdir()
    (folder / "a.yaml").write_text("jobs: 3")
    monkeypatch.chdir(folder)
    with pytest.raises(JobFileError, match=r"^a\.yaml:1: "):
        load_jobs(folder / "a.yaml")


def test_ten_thousand_jobs_load_quickly(load: Any) -> None:
    job = "  job_{0}:\n    environment: {{id: reach-v3, seed: {0}}}\n    thresholds: {{return: '> 1'}}\n"
    text = METAWORLD.partition("  reach:")[0] + "".join(job.format(i) for i in range(10_000))
    began = time.perf_counter()
    jobs = load(text)
    took = time.perf_counter() - began
    assert jobs[-1].environment.seed == 9_999
    assert took < 10, "about a second on a desktop; the rest is room for a busy machine"


def test_ten_thousand_bad_jobs_are_told_quickly(load: Any) -> None:
    text = METAWORLD.partition("  reach:")[0] + "".join(f"  job_{i}: {{}}\n" for i in range(10_000))
    began = time.perf_counter()
    with pytest.raises(JobFileError, match=r"; 9999 more problems in this file$"):
        load(text)
    assert time.perf_counter() - began < 20


def test_the_garbage_collector_is_left_as_it_was(load: Any) -> None:
    load(METAWORLD)
    assert gc.isenabled()
    with pytest.raises(JobFileError):
        load("jobs: 3")
    assert gc.isenabled()


@pytest.mark.process
def test_loading_imports_neither_pytest_nor_the_rest_of_the_package() -> None:
    code = (
        "import sys, pytest_arena.jobs.loader, pytest_arena.jobs.editor_schema\n"
        "own = [m for m in sys.modules if m.startswith('pytest_arena.')]\n"
        "assert all(m.split('.')[1] in ('errors', 'jobs') for m in own), own\n"
        "assert not {'pytest', '_pytest', 'numpy', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("value", [1, None])
def test_thousands_of_unknown_keys_do_not_each_get_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    asked = []
    monkeypatch.setattr(messages, "did_you_mean", lambda *of: asked.append(of) or " (did you mean 'x'?)")
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps({"jobs": {"a": {f"key{i}": value for i in range(1000)}}}))
    with pytest.raises(JobFileError, match="more problems in this file"):
        load_jobs(path)
    assert len(asked) <= messages.MOST_HINTS


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.touch(mode=0)
    with pytest.raises(JobFileError, match="cannot be read: Permission denied"):
        load_jobs(file)
