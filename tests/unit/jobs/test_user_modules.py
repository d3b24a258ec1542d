"""Modules beside a job file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_arena import Job, JobFileError, load_jobs
from pytest_arena.evaluation.validate import validate
from pytest_arena.jobs import user_modules
from pytest_arena.jobs.messages import place
from pytest_arena.jobs.user_modules import make_importable

POLICY = "class Mine:\n    def act(self, observation): ...\n"
OWN = ("beside_policy", "beside_envs", "beside_package", "beside_plain")


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(user_modules, "_found", {})
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[name]


def job_in(folder: Path, **changes: Any) -> Job:
    """A job of a file in *folder*."""
    folder.mkdir(exist_ok=True)
    job: dict[str, Any] = {
        "simulator": "gymnasium",
        "environment": {"id": "CartPole-v1"},
        "policy": {"type": "zero"},
        "rollout": {"episodes": 1},
        **changes,
    }
    (folder / "jobs.yaml").write_text(yaml.safe_dump({"jobs": {"job": job}}))
    (found,) = load_jobs(folder / "jobs.yaml")
    return found


@pytest.mark.parametrize("named", ["beside_policy:Mine", "beside_policy.Mine"])
def test_a_policy_beside_the_file(tmp_path: Path, named: str) -> None:
    (tmp_path / "beside_policy.py").write_text(POLICY)
    validate(job_in(tmp_path, policy={"type": named}))
    validate(job_in(tmp_path, policy={"type": named}))
    assert sys.path.count(str(tmp_path)) == 1
    assert sys.path[0] == str(tmp_path), "first, as pytest puts the folders of tests"


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": {"id": "beside_envs:Beside-v0"}},
        {"environment": {"id": "Beside-v0", "options": {"modules": ["beside_envs"]}}},
        {"success": {"callable": "beside_envs:held"}},
        {"policy": {"type": "beside_package.inner:Mine"}},
        {"policy": {"type": "beside_plain.inner:Mine"}},
    ],
)
def test_whatever_a_job_names(tmp_path: Path, changes: dict[str, Any]) -> None:
    (tmp_path / "beside_envs.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Beside-v0', entry_point='gymnasium.envs.classic_control:CartPoleEnv')\n"
        "def held(env): ...\n"
    )
    for package in ("beside_package", "beside_plain"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "inner.py").write_text(POLICY)
    (tmp_path / "beside_package" / "__init__.py").touch()
    validate(job_in(tmp_path, **changes))
    assert str(tmp_path) in sys.path


def test_a_relative_path_is_that_of_the_time_of_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_policy.py").write_text(POLICY)
    job_in(tmp_path, policy={"type": "beside_policy:Mine"})
    monkeypatch.chdir(tmp_path)
    (job,) = load_jobs(Path("jobs.yaml"))
    monkeypatch.chdir("/")
    validate(job)


def test_the_path_stays_as_it_is_for_names_that_are_not_there(tmp_path: Path) -> None:
    before = list(sys.path)
    for name in ("zero.py", "random.py", "human.py", "model.py"):
        (tmp_path / name).touch()
    make = {"options": {"make": {"render_mode": "human", "file": "model.pt"}}}
    make_importable(job_in(tmp_path, environment={"id": "CartPole-v1", **make}, policy={"type": "random"}))
    assert sys.path == before


def test_a_module_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(JobFileError) as raised:
        validate(job_in(tmp_path, policy={"type": "beside_policy:Mine"}))
    text = str(raised.value)
    assert "jobs.job.policy.type: cannot import 'beside_policy': No module named 'beside_policy'" in text
    assert (
        f"looked beside the job file, in {place(tmp_path)}, and on Python's path: put the module there"
        in text
    )
    assert "\n" not in text


def test_two_files_with_modules_of_one_name(tmp_path: Path) -> None:
    jobs = []
    for folder in ("one", "two"):
        jobs.append(job_in(tmp_path / folder, policy={"type": "beside_policy:Mine"}))
        (tmp_path / folder / "beside_policy.py").write_text(POLICY)
    make_importable(jobs[0])
    for _ in range(2):  # before the first one is imported, as with simulators that start first, and after
        with pytest.raises(
            JobFileError, match=r"jobs\.job\.policy\.type: the module 'beside_policy'.*rename"
        ):
            make_importable(jobs[1])
        validate(jobs[0])


def test_a_module_that_was_imported_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text(POLICY)
    with pytest.raises(JobFileError, match=r"has the name of .*yaml/__init__\.py"):
        make_importable(job_in(tmp_path, policy={"type": "yaml:Mine"}))


def test_what_fails_inside_a_module_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "beside_policy.py").write_text("import no_such_package_at_all\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_package_at_all"):
        validate(job_in(tmp_path, policy={"type": "beside_policy:Mine"}))
