"""What of the Isaac Lab simulator needs no Isaac Lab."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_arena import EvaluationError, MissingDependencyError
from pytest_arena.records.temporary_folders import remove_scratch
from pytest_arena.simulators.cfg_overrides import override
from pytest_arena.simulators.isaaclab import app, config
from pytest_arena.simulators.isaaclab.app import App, kit_possible, pinned, undisturbed
from pytest_arena.simulators.isaaclab.config import redirect_dataset, scratch_of
from pytest_arena.simulators.isaaclab.simulator import IsaacLabSimulator, launch_arguments
from tests.jobs import make_job
from tests.lab_fakes import FakeLabEnv

torch = pytest.importorskip("torch")


def job(record: Any = None, launch: Any = None, **environment: Any) -> Any:
    options = {"launch": launch} if launch else {}
    return make_job(
        simulator="isaaclab",
        environment={"id": "Isaac-Cartpole", "options": options, **environment},
        record=record or {},
    )


@pytest.mark.parametrize(
    ("changes", "cameras"),
    [
        ({}, False),
        ({"cameras": {"wrist": {}}}, True),
        ({"record": {"cameras": ["wrist"]}}, True),
        ({"record": {"video": "on"}}, True),
        ({"record": {"video": "off"}}, False),
        ({"launch": {"enable_cameras": True}}, True),
    ],
)
def test_cameras_are_on_where_the_job_wants_any(changes: Any, cameras: bool) -> None:
    given = changes.get("launch", {})
    assert launch_arguments(job(**changes), given) == {"headless": True, "enable_cameras": cameras}


def test_the_device_is_one_of_the_launch_arguments() -> None:
    assert launch_arguments(job(device="cuda:1"), {"headless": False}) == {
        "headless": False,
        "enable_cameras": False,
        "device": "cuda:1",
    }


@pytest.mark.parametrize(
    ("versions", "possible"),
    [
        ({}, False),
        ({"isaaclab": "2.3.2"}, True),
        ({"isaaclab": "3.0.0"}, False),
        ({"isaaclab": "3.0.0", "isaacsim": "6.2.0"}, True),
    ],
)
def test_an_app_groups_jobs_only_where_one_can_be_started(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], possible: bool
) -> None:
    monkeypatch.setattr(app, "installed", versions.get)
    assert kit_possible() is possible
    monkeypatch.setattr("pytest_arena.simulators.isaaclab.simulator.kit_possible", lambda: possible)
    one, other = job(), job(cameras={"wrist": {}})
    keys = {IsaacLabSimulator().launch_key(j) for j in (one, other)}
    assert len(keys) == (2 if possible else 1)
    assert (keys == {None}) is not possible


@pytest.mark.parametrize("given", [None, "4"])
@pytest.mark.parametrize("possible", [True, False])
def test_numpy_gets_no_threads_where_kit_may_start(
    monkeypatch: pytest.MonkeyPatch, possible: bool, given: str | None
) -> None:
    monkeypatch.setattr(app, "kit_possible", lambda: possible)
    monkeypatch.setattr(os, "environ", {} if given is None else {"OPENBLAS_NUM_THREADS": given})
    app.keep_blas_single()
    assert os.environ.get("OPENBLAS_NUM_THREADS") == (given or ("1" if possible else None))


class MovingEnv(FakeLabEnv):
    """Its rows begin with a velocity, which the first reset of all loses: Isaac Lab's habit."""

    velocity = torch.zeros(4)

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        super()._reset_idx(env_ids)
        draw = torch.rand(4, generator=torch.Generator().manual_seed(self.seeds[-1] or 0))
        self.velocity = draw if len(self.seeds) > 1 else torch.zeros(4)

    def _observe(self) -> dict[str, torch.Tensor]:
        return {"policy": self.velocity.clone()}


def test_the_first_job_in_an_environment_begins_like_those_after_it() -> None:
    fake = MovingEnv()
    env = IsaacLabSimulator().adapt(fake, job(), None)
    begins = [env.reset(None, [7] * 4).observation["policy"].tolist() for _ in range(2)]
    assert begins[0] == begins[1] == torch.rand(4, generator=torch.Generator().manual_seed(7)).tolist()
    assert fake.common_step_counter == 0


def test_an_environment_that_cannot_be_reset_is_closed() -> None:
    class Broken(FakeLabEnv):
        def reset(self, **kwargs: Any) -> Any:
            raise RuntimeError("no stage")

    fake = Broken()
    with pytest.raises(RuntimeError, match="no stage"):
        IsaacLabSimulator().adapt(fake, job(), None)
    assert fake.closed_times == 1


def test_environments_are_shared_by_jobs_of_one_seed_only() -> None:
    simulator = IsaacLabSimulator()
    keys = [
        simulator.environment_key(j) for j in (job(), job(), job(seed=1), job(record={"trajectory": True}))
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_rebuild_has_a_seed_of_its_own() -> None:
    simulator, whole = IsaacLabSimulator(), job(seed=5)
    assert [simulator.rebuilt(whole, k).environment.seed for k in range(3)] == [5, 6, 7]
    assert whole.environment.seed == 5


def test_a_missing_isaac_lab_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_arena.simulators.isaaclab.simulator.installed", lambda package: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'pytest-arena\[isaaclab\]'"):
        IsaacLabSimulator().launch(job())


@pytest.mark.parametrize(
    ("given", "worker", "expected"),
    [
        ({}, None, {}),
        ({"device": "cpu"}, "cuda:1", {"device": "cpu"}),
        ({}, "cuda:1", {"device": "cuda:1", "multi_gpu": False}),
        ({"device": "cuda:0"}, "cuda:1", {"device": "cuda:1", "multi_gpu": False}),
        ({"device": "cuda:2"}, "cuda:1", {"device": "cuda:2", "multi_gpu": False}),
        ({"device": "cuda:2", "multi_gpu": True}, None, {"device": "cuda:2", "multi_gpu": True}),
    ],
)
def test_an_app_takes_one_gpu_and_leaves_the_others(given: Any, worker: str | None, expected: Any) -> None:
    assert pinned(given, worker) == expected


def test_without_an_app_the_workers_mask_hides_the_other_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker 1 sees its GPU as the first one."""
    monkeypatch.setenv("PYTEST_ARENA_GPU", "1")
    monkeypatch.setattr(config, "kit_possible", lambda: False)
    monkeypatch.setitem(
        sys.modules,
        "torch",
        SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True, device_count=lambda: 1)),
    )
    assert config.device_of(job()) == "cuda:0"
    monkeypatch.setattr(config, "kit_possible", lambda: True)  # an app sees them all
    assert config.device_of(job()) == "cuda:1"
    assert config.device_of(job(device="cuda:0")) == "cuda:1"


# -- configurations


def configuration() -> Any:
    term = SimpleNamespace(params={"range": (0.0, 1.0), "names": ["a"]}, mode="reset")
    return SimpleNamespace(sim=SimpleNamespace(dt=0.01), events=SimpleNamespace(start=term), decimation=2)


def test_overrides_are_nested_or_dotted() -> None:
    found = configuration()
    override(
        found, {"sim": {"dt": 0.02}, "events.start.params.range": [0.1, 0.2], "decimation": 4}, "overrides"
    )
    assert (found.sim.dt, found.decimation) == (0.02, 4)
    assert found.events.start.params == {"range": (0.1, 0.2), "names": ["a"]}
    override(found, {"events": {"start": {"mode": "startup", "params": {"names": ["b"]}}}}, "overrides")
    assert found.events.start.mode == "startup"
    assert found.events.start.params == {"names": ["b"]}  # a mapping in a mapping is a value


def test_the_word_null_takes_a_part_away() -> None:
    found = configuration()
    override(found, {"events.start": "null"}, "overrides")
    assert found.events.start is None


@pytest.mark.parametrize("key", ["sim.dtt", "events.strat.mode", "events.start.params.rnge"])
def test_an_unknown_key_names_its_neighbour(key: str) -> None:
    with pytest.raises(EvaluationError, match=r"^overrides\.\S+: \w+ has no '\w+' \(did you mean '\w+'\?\)"):
        override(configuration(), {key: 1}, "overrides")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("sim.dt", "fast", "a number, such as 1.0e-3, got 'fast'"),
        ("sim.dt", "1e-3", "a number, such as 1.0e-3, got '1e-3'"),
        ("events.start.params.on", "yes", "true or false, got 'yes'"),
    ],
)
def test_a_text_is_no_number(key: str, value: str, expected: str) -> None:
    found = configuration()
    found.events.start.params["on"] = True
    with pytest.raises(EvaluationError, match=f"^overrides.{key}: expected {expected}"):
        override(found, {key: value}, "overrides")


def test_the_shared_file_of_all_processes_is_never_written() -> None:
    class Mode(int):
        pass

    recorders = SimpleNamespace(dataset_export_dir_path="/tmp/isaaclab/logs", dataset_export_mode=Mode(1))
    found = SimpleNamespace(recorders=recorders)
    redirect_dataset(found, wanted=False)
    assert recorders.dataset_export_mode == 0
    first = scratch_of(found)
    redirect_dataset(found, wanted=True)
    assert first is not None
    assert first != scratch_of(found)
    assert scratch_of(SimpleNamespace(recorders=None)) is None
    for folder in (first, scratch_of(found)):
        assert folder is not None
        remove_scratch(folder)


# -- the app


def test_a_launch_leaves_the_process_as_it_was() -> None:
    argv, stdout, handler = sys.argv, sys.stdout, signal.getsignal(signal.SIGTERM)
    was_enabled = faulthandler.is_enabled()
    with undisturbed():
        assert sys.argv == argv[:1]
        sys.argv, sys.stdout = ["kit"], sys.__stdout__
        signal.signal(signal.SIGTERM, lambda *_: None)
    assert sys.argv is argv
    assert sys.stdout is stdout
    assert signal.getsignal(signal.SIGTERM) is handler
    assert faulthandler.is_enabled() is was_enabled


CRASH = """
import faulthandler, signal, sys
from pytest_arena.simulators.isaaclab.app import undisturbed

_, log, launch = sys.argv
file = open(log, "w")
faulthandler.enable(file)
with undisturbed(file.fileno()):
    if launch == "changes":
        signal.signal(signal.SIGSEGV, lambda *_: None)
faulthandler._sigsegv()
"""


@pytest.mark.process
@pytest.mark.parametrize("launch", ["changes", "leaves"])
def test_a_crash_after_a_launch_still_shows_where(tmp_path: Path, launch: str) -> None:
    log = tmp_path / "faults"
    command = [sys.executable, "-c", CRASH, str(log), launch]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in log.read_text()


def test_a_launch_that_fails_does_too() -> None:
    argv = sys.argv

    def launch() -> None:
        with undisturbed():
            sys.argv = []
            raise RuntimeError("no GPU")

    with pytest.raises(RuntimeError, match="no GPU"):
        launch()
    assert sys.argv is argv


def test_without_an_app_nothing_is_ended() -> None:
    app = App()
    app.end(1)
    assert not app.running


def test_a_second_app_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class AppLauncher:
        def __init__(self, arguments: Any) -> None:
            arguments["written"] = "by the launcher"
            started.append(arguments)
            self.app = SimpleNamespace(close=lambda: None)

    monkeypatch.setitem(sys.modules, "isaaclab.app", SimpleNamespace(AppLauncher=AppLauncher))
    monkeypatch.setitem(sys.modules, "isaaclab", SimpleNamespace())
    app, arguments = App(), {"headless": True}
    app.start_launcher(arguments)
    app.start_launcher(arguments)
    assert len(started) == 1
    assert arguments == {"headless": True}
    with pytest.raises(EvaluationError, match="run such jobs with -n"):
        app.start_launcher({"headless": False})


def test_isaac_lab_3_starts_kit_once_and_hands_the_status_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """`launch_simulation` closes Kit with the status of the SystemExit that leaves it."""
    log: list[Any] = []

    @contextlib.contextmanager
    def launch_simulation(configuration: Any, arguments: Any) -> Any:
        arguments["written"] = "by the launcher"
        log.append(("launch", configuration))
        try:
            yield
        except SystemExit as error:
            log.append(("close", error.code))
            raise

    def validate_launch(configuration: Any, arguments: Any) -> Any:
        log.append(("validate", configuration))
        return None, ("PhysX",) if configuration == "kit" else ()

    launcher = SimpleNamespace(launch_simulation=launch_simulation, validate_launch=validate_launch)
    monkeypatch.setitem(sys.modules, "isaaclab", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "isaaclab.app", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "isaaclab.app.sim_launcher", launcher)
    app, arguments = App(), {"headless": True}
    app.start_for("newton", arguments)
    assert not app.running
    app.start_for("kit", arguments)
    app.start_for("another", arguments)
    assert arguments == {"headless": True}
    assert [entry for entry in log if entry[0] == "launch"] == [("launch", "newton"), ("launch", "kit")]
    with pytest.raises(EvaluationError, match="only once a process"):
        app.start_for("another", {"headless": False})
    monkeypatch.setattr(
        "pytest_arena.simulators.isaaclab.app._ending", lambda status, seconds: contextlib.nullcontext()
    )
    app.end(5)
    assert log[-1] == ("close", 5)
