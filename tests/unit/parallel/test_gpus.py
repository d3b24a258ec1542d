"""Which devices there are, who gets which, and whether a session asks for any."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import execnet
import pytest

from pytest_arena.parallel import gpus


class Config:
    """The part of pytest's config that is asked."""

    def __init__(self, folder: Path, args: tuple[str, ...] = ("evals",), **given: Any) -> None:
        self.given, self.args, self.lines = given, list(args), list[str]()
        self.invocation_params = SimpleNamespace(dir=folder)
        self.option = SimpleNamespace(numprocesses=given.get("numprocesses", "auto"))

    def getoption(self, name: str, default: Any = None) -> Any:
        return self.given.get(name, default)

    def getini(self, name: str) -> Any:
        defaults = {
            "arena_jobs": [],
            "arena_gpus": "",
            "arena_workers_per_gpu": "1",
            "arena_launcher": "",
            "python_files": ["test_*.py"],
            "norecursedirs": ["build", ".*"],
        }
        return self.given.get(f"ini_{name}", defaults[name])


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "write_line", lambda config, line, **colour: config.lines.append(line))


@pytest.fixture
def evals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an evaluation below it; two devices."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-aa")
    for name in (*gpus.THREADS, "PYTEST_XDIST_AUTO_NUM_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "evals" / "deep" / "test_it.py"
    path.parent.mkdir(parents=True)
    path.write_text('@pytest.mark.arena("jobs.yaml")\ndef test_it(arena_rollout): ...\n')
    return tmp_path


def pinned(config: Any, *specs: str) -> list[dict[str, Any]]:
    made = [execnet.XSpec(spec) for spec in specs]
    gpus.pin(config, made)
    return [spec.env for spec in made]


@pytest.mark.parametrize(
    ("mask", "devices"),
    [
        ("0", ["0"]),
        ("4, 2", ["4", "2"]),
        ("3,GPU-8932f937-d72c,MIG-41b36db2-5a", ["3", "GPU-8932f937-d72c", "MIG-41b36db2-5a"]),
        ("MIG-GPU-8932f937/1/0", ["MIG-GPU-8932f937/1/0"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("NoDevFiles", []),
        ("1,1", ["1"]),
    ],
)
def test_the_callers_devices(mask: str, devices: list[str]) -> None:
    assert gpus.visible_devices({"CUDA_VISIBLE_DEVICES": mask}) == devices


def test_no_mask_is_not_an_empty_one() -> None:
    assert gpus.visible_devices({}) is None


@pytest.mark.parametrize(
    ("own", "assigned"),
    [
        ([None] * 5, ["a", "b", "a", "b", "a"]),
        (["b", None, None], ["b", "a", "a"]),
        (["z", None, None], ["z", "a", "b"]),
        ([], []),
    ],
)
def test_in_turn_and_what_a_worker_brings_stays(own: list[str | None], assigned: list[str]) -> None:
    assert gpus.assign(["a", "b"], own) == assigned


def test_workers_get_devices_positions_and_a_share_of_the_cores(
    evals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "_cores", lambda: 9)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    config = Config(evals)
    first, second = pinned(config, "popen", "popen//env:OMP_NUM_THREADS=1")
    assert first["CUDA_VISIBLE_DEVICES"] == "4"
    assert first["PYTEST_ARENA_GPU"] == "0"
    assert {name: first.get(name) for name in gpus.THREADS} == {
        **dict.fromkeys(gpus.THREADS, "4"),
        "MKL_NUM_THREADS": None,
    }
    assert second["CUDA_VISIBLE_DEVICES"] == "GPU-aa"
    assert second["PYTEST_ARENA_GPU"] == "1"
    assert second["OMP_NUM_THREADS"] == "1"
    assert not config.lines


def test_there_is_always_a_thread(evals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_cores", lambda: 1)
    assert pinned(Config(evals), *["popen"] * 4)[0]["OMP_NUM_THREADS"] == "1"


def test_without_devices_there_are_thread_limits_only(evals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (env,) = pinned(Config(evals), "popen")
    assert set(env) == set(gpus.THREADS)


def test_workers_elsewhere_are_left_alone(evals: Path) -> None:
    assert pinned(Config(evals), "ssh=host", "popen//via=proxy") == [{}, {}]


def test_behind_a_launcher_only_devices_that_are_asked_for(evals: Path) -> None:
    assert pinned(Config(evals, arena_launcher="srun"), "popen") == [{}]
    env = {"CUDA_VISIBLE_DEVICES": "0", "PYTEST_ARENA_GPU": "0"}
    assert pinned(Config(evals, arena_launcher="srun", arena_gpus="0"), "popen") == [env]


def test_too_many_workers_are_told(evals: Path) -> None:
    config = Config(evals)
    pinned(config, *["popen"] * 3)
    assert config.lines == [
        "arena: more workers than GPUs: 2 share one, --arena-workers-per-gpu is 1 (GPUs: 4, GPU-aa)"
    ]
    config = Config(evals, arena_workers_per_gpu=2)
    pinned(config, *["popen"] * 3)
    assert not config.lines


def test_asked_for_devices_must_be_visible(evals: Path) -> None:
    assert gpus.devices_of(Config(evals, arena_gpus="GPU-aa")) == ["GPU-aa"]  # type: ignore[arg-type]
    assert gpus.devices_of(Config(evals, ini_arena_gpus="4")) == ["4"]  # type: ignore[arg-type]
    assert gpus.devices_of(Config(evals, arena_gpus="")) == []  # type: ignore[arg-type]
    with pytest.raises(pytest.UsageError, match=r"^--arena-gpus 4,0: "):
        gpus.devices_of(Config(evals, arena_gpus="4,0"))  # type: ignore[arg-type]


def test_workers_per_gpu_may_come_from_the_ini_file(evals: Path) -> None:
    with pytest.raises(pytest.UsageError, match=r"^--arena-workers-per-gpu: "):
        gpus.workers_per_gpu(Config(evals, ini_arena_workers_per_gpu="two"))  # type: ignore[arg-type]


@pytest.mark.parametrize("script", ["exit 9", "echo No devices were found", ""])
def test_a_machine_without_devices(evals: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    folder = evals / "bin"
    folder.mkdir()
    if script:
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin")
    assert gpus.devices_of(Config(evals)) == []  # type: ignore[arg-type]


def auto(folder: Path, **given: Any) -> int | None:
    config: Any = Config(folder, **given)
    return gpus.auto_workers(config)


def test_auto_workers(evals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert auto(evals) == 2
    assert auto(evals, ini_arena_workers_per_gpu="3") == 6
    assert auto(evals, numprocesses="logical") is None
    assert auto(evals, arena_launcher="srun") is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert auto(evals) is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "5")
    assert auto(evals) is None


def asks(folder: Path, *args: str, **given: Any) -> bool:
    config: Any = Config(folder, args, **given)
    return gpus.asks_for_evaluations(config)


def test_evaluations_are_found_by_their_marker(evals: Path) -> None:
    assert asks(evals, ".")
    assert asks(evals, "evals/deep/test_it.py::test_it")
    assert not asks(evals, "missing")
    assert not asks(evals, "evals/other")
    (evals / "plain").mkdir()
    (evals / "plain" / "test_plain.py").write_text("@pytest.mark.arenas\ndef test_it(): ...\n")
    (evals / "plain" / "notes.py").write_text("mark.arena")
    assert not asks(evals, "plain")
    assert asks(evals, "plain", "evals")
    assert asks(evals, "plain", arena_gpus="0")
    assert asks(evals, "plain", ini_arena_jobs=["jobs.yaml"])


@pytest.mark.parametrize("folder", ["build", ".hidden", "env"])
def test_folders_that_pytest_skips_are_not_searched(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "test_it.py"
    path.parent.mkdir()
    path.write_text("mark.arena")
    (tmp_path / "env" / "pyvenv.cfg").touch() if folder == "env" else None
    assert not asks(tmp_path, ".")


def test_the_search_is_bounded(evals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3):
        (evals / f"test_{i}.py").touch()
    monkeypatch.setattr(gpus, "SEARCHED", 3)
    assert not asks(evals, ".")
    monkeypatch.setattr(gpus, "SEARCHED", 4)
    assert asks(evals, ".")
