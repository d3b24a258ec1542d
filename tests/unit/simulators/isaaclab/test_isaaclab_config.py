"""From a job to Isaac Lab's configuration and environment: each thing that a job can say arrives there."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import gymnasium
import pytest

from pytest_arena import EvaluationError
from pytest_arena.simulators.isaaclab.simulator import IsaacLabSimulator
from tests.jobs import make_job
from tests.lab_fakes import FakeLabEnv

HERE = __name__


class ManagerBasedRLEnvCfg:
    """What Isaac Lab 3.0's configurations have, as far as a job can set it."""

    def __init__(self) -> None:
        self.seed: int | None = None
        self.scene = SimpleNamespace(num_envs=1, wrist=SimpleNamespace(width=6, height=4))
        self.sim = SimpleNamespace(device="cuda:0", dt=0.01)
        self.decimation, self.episode_length_s = 2, 0.1
        self.events = SimpleNamespace(start=SimpleNamespace(params={"range": (0.0, 1.0)}))
        self.recorders = None
        self.num_rerenders_on_reset = 0
        self.compute_final_obs = False


class OlderCfg(ManagerBasedRLEnvCfg):
    """2.3 computes no terminal observation."""

    def __init__(self) -> None:
        super().__init__()
        del self.compute_final_obs, self.num_rerenders_on_reset


class DirectCfg:
    """A configuration that says nothing of the environment that it is for."""

    def __init__(self) -> None:
        vars(self).update(vars(ManagerBasedRLEnvCfg()))


class ManagerBasedRLEnv(FakeLabEnv):
    def __init__(self, cfg: Any, **kwargs: Any) -> None:
        super().__init__(cameras=cfg.scene.wrist is not None)
        self.cfg = cfg


class DirectEnv(ManagerBasedRLEnv):
    """Another class, to be told from the one that is for all manager-based configurations."""


class SlowCfg(ManagerBasedRLEnvCfg):
    """Told from the others by its number."""

    def __init__(self) -> None:
        super().__init__()
        self.decimation = 50


def slow() -> Any:
    """Return a configuration, as a factory does."""
    return SlowCfg()


READY = slow()


@pytest.fixture(autouse=True)
def isaac_lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Isaac Lab 2.3 with its app running, and gymnasium's registry as it was before."""
    monkeypatch.setattr("pytest_arena.simulators.isaaclab.simulator.installed", lambda package: "2.3.2")
    envs = ModuleType("isaaclab.envs")
    vars(envs).update(ManagerBasedRLEnv=ManagerBasedRLEnv, ManagerBasedRLEnvCfg=ManagerBasedRLEnvCfg)
    monkeypatch.setitem(sys.modules, "isaaclab", ModuleType("isaaclab"))
    monkeypatch.setitem(sys.modules, "isaaclab.envs", envs)
    monkeypatch.setitem(sys.modules, "isaaclab_tasks", None)  # not installed
    registry = dict(gymnasium.registry)
    register("Isaac-Count", f"{HERE}:ManagerBasedRLEnvCfg")
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(registry)


def register(name: str, configuration: Any) -> None:
    kwargs = {} if configuration is None else {"env_cfg_entry_point": configuration}
    gymnasium.register(name, f"{HERE}:ManagerBasedRLEnv", disable_env_checker=True, kwargs=kwargs)


Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return what writes a module that can be imported until the test ends."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "isaaclab_tasks")

    def module(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)

    yield module
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def make(options: Any = None, record: Any = None, **environment: Any) -> Any:
    """Return the environment that is made for a job on the CPU."""
    described = {"id": "Isaac-Count", "device": "cpu", "options": options or {}, **environment}
    job = make_job(simulator="isaaclab", environment=described, record=record or {"video": "off"})
    return IsaacLabSimulator().make(job).unwrapped.unwrapped


def configured(options: Any = None, **keys: Any) -> Any:
    return make(options, **keys).cfg


def steps(configuration: Any) -> int:
    """Return how many steps an episode lasts, as Isaac Lab rounds it."""
    return math.ceil(configuration.episode_length_s / (configuration.sim.dt * configuration.decimation))


# -- values


def test_variations_and_overrides_are_set() -> None:
    found = configured(
        {"overrides": {"decimation": 4}}, variations={"events.start.params.range": [0.2, 0.3], "sim.dt": 0.02}
    )
    assert (found.decimation, found.sim.dt) == (4, 0.02)
    assert found.events.start.params == {"range": (0.2, 0.3)}


def test_a_wrong_key_is_named_with_the_place_that_it_stands_in() -> None:
    with pytest.raises(EvaluationError, match=r"^environment\.variations\.sim\.dtt: .*did you mean 'dt'"):
        configured(variations={"sim.dtt": 0.02})
    with pytest.raises(
        EvaluationError, match=r"^environment\.options\.overrides\.sim\.dtt: .*did you mean 'dt'"
    ):
        configured({"overrides": {"sim.dtt": 0.02}})


STRONGER = {"seed": 99, "scene.num_envs": 64, "sim.device": "cuda:7", "episode_length_s": 9.0}


@pytest.mark.parametrize("keys", [{"options": {"overrides": STRONGER}}, {"variations": STRONGER}])
def test_what_the_job_has_keys_for_is_stronger_than_overrides(keys: Any) -> None:
    found = configured(seed=7, num_envs=3, max_episode_steps=10, **keys)
    assert (found.seed, found.scene.num_envs, found.sim.device, steps(found)) == (7, 3, "cpu", 10)


@pytest.mark.parametrize("length", [1, 3, 7, 10, 999])
def test_the_horizon_counts_steps_of_the_length_that_overrides_give_them(length: int) -> None:
    found = configured({"overrides": {"sim.dt": 0.003, "decimation": 7}}, max_episode_steps=length)
    assert steps(found) == length


def test_without_a_horizon_in_the_job_the_configuration_has_its_own() -> None:
    assert steps(configured()) == 5
    assert steps(configured({"overrides": {"episode_length_s": 0.2}})) == 10


def test_seeds_that_are_too_large_for_the_simulator_are_folded() -> None:
    assert configured(seed=2**31 - 1).seed == 2**31 - 1
    assert configured(seed=2**31 + 5).seed == 5


def test_the_terminal_observation_is_computed_unless_the_job_does_without() -> None:
    assert configured().compute_final_obs is True
    assert configured({"final_observation": False}).compute_final_obs is False
    assert not hasattr(configured(id=f"{HERE}:OlderCfg"), "compute_final_obs")


def test_images_are_rendered_anew_after_a_reset_where_cameras_are_on() -> None:
    """Else the first image of an episode shows the end of the one before."""
    assert configured().num_rerenders_on_reset == 0
    assert configured(cameras={"wrist": {}}).num_rerenders_on_reset == 1
    assert configured(record={"video": "on"}).num_rerenders_on_reset == 1
    assert configured({"launch": {"enable_cameras": True}}).num_rerenders_on_reset == 1
    more = {"overrides": {"num_rerenders_on_reset": 3}}
    assert configured(more, cameras={"wrist": {}}).num_rerenders_on_reset == 3
    assert not hasattr(configured(id=f"{HERE}:OlderCfg", cameras={"wrist": {}}), "num_rerenders_on_reset")


def test_a_camera_has_the_size_that_the_job_writes_and_else_its_own() -> None:
    sizes = [
        (wrist := configured(cameras={"wrist": size}).scene.wrist) and (wrist.width, wrist.height)
        for size in ({}, {"width": 64}, {"height": 32}, {"width": 64, "height": 32})
    ]
    assert sizes == [(6, 4), (64, 4), (6, 32), (64, 32)]


# -- where configurations come from


def test_a_task_package_is_imported_before_its_environment_is_looked_for(write: Write) -> None:
    write(
        "carts_and_more.py",
        f"""
import gymnasium

gymnasium.register(
    "Isaac-Cart-Of-The-Package", "{HERE}:DirectEnv", kwargs={{"env_cfg_entry_point": "{HERE}:OlderCfg"}}
)
""",
    )
    with pytest.raises(EvaluationError, match="no environment 'Isaac-Cart-Of-The-Package' is registered"):
        make(id="Isaac-Cart-Of-The-Package")
    made = make({"task_package": ["carts_and_more"]}, id="Isaac-Cart-Of-The-Package")
    assert type(made) is DirectEnv
    assert type(made.cfg) is OlderCfg


def test_an_id_may_name_the_module_that_registers_it(write: Write) -> None:
    write("carts_by_name.py", f'import {HERE} as here\n\nhere.register("Isaac-By-Name", here.SlowCfg)\n')
    assert configured(id="carts_by_name:Isaac-By-Name").decimation == 50


def test_a_task_package_that_is_not_there_is_named() -> None:
    with pytest.raises(
        EvaluationError, match=r"^environment\.options\.task_package: cannot import 'nowhere'"
    ):
        make({"task_package": ["nowhere"]})


def test_shipped_tasks_are_found_and_resolved_by_isaac_labs_own_parser(write: Write) -> None:
    write(
        "isaaclab_tasks/__init__.py",
        f'import {HERE} as here\n\nhere.register("Isaac-Shipped", "isaaclab_tasks.cart:PresetCfg")\n',
    )
    write(
        "isaaclab_tasks/utils.py",
        f"import {HERE} as here\n\n\ndef parse_env_cfg(name):\n    return {{'Isaac-Shipped': here.SlowCfg}}[name]()\n",
    )
    found = configured(id="Isaac-Shipped", num_envs=2)
    assert (found.decimation, found.scene.num_envs) == (50, 2)


def test_an_unknown_id_names_its_neighbour_and_the_option_that_registers_more(write: Write) -> None:
    for shipped in (None, ""):
        if shipped is not None:
            write("isaaclab_tasks/__init__.py", shipped)
        with pytest.raises(EvaluationError) as refused:
            make(id="Isaac-Cuont")
        assert str(refused.value) == (
            "environment.id: no environment 'Isaac-Cuont' is registered (did you mean 'Isaac-Count'?); "
            "environment.options.task_package names the modules that register environments"
        )


def test_an_unknown_class_names_those_of_its_module() -> None:
    with pytest.raises(EvaluationError, match=r"no environment 'OldrCfg' .*did you mean 'OlderCfg'\?"):
        make(id=f"{HERE}:OldrCfg")
    with pytest.raises(EvaluationError, match=r"^environment\.id: cannot import 'nowhere'"):
        make(id="nowhere:Cfg")


def test_an_environment_without_a_configuration_is_refused() -> None:
    register("Isaac-Bare", None)
    with pytest.raises(EvaluationError, match="'Isaac-Bare' is registered without env_cfg_entry_point"):
        make(id="Isaac-Bare")


@pytest.mark.parametrize(
    "entry",
    [slow, f"{HERE}:slow", READY, f"{HERE}:READY"],
    ids=["function", "name of a function", "instance", "name of an instance"],
)
def test_a_registered_configuration_may_be_anything_that_isaac_lab_takes(entry: Any) -> None:
    """A class, a function that returns one's instance, an instance, or the name of any of them."""
    register("Isaac-Slow", entry)
    assert configured(id="Isaac-Slow").decimation == 50


def test_a_job_leaves_the_registered_configuration_alone() -> None:
    register("Isaac-Ready", READY)
    assert configured({"overrides": {"sim.dt": 0.5}}, id="Isaac-Ready", num_envs=3).sim.dt == 0.5
    assert (READY.sim.dt, READY.scene.num_envs) == (0.01, 1)


# -- the environment's class


def test_a_manager_based_configuration_needs_no_class() -> None:
    assert type(make(id=f"{HERE}:OlderCfg")) is ManagerBasedRLEnv
    assert type(make({"entry_point": f"{HERE}:DirectEnv"}, id=f"{HERE}:OlderCfg")) is DirectEnv


def test_another_configuration_needs_one() -> None:
    assert type(make({"entry_point": f"{HERE}:DirectEnv"}, id=f"{HERE}:DirectCfg")) is DirectEnv
    with pytest.raises(
        EvaluationError,
        match=r"^environment\.id: DirectCfg is no .* environment\.options\.entry_point, as module",
    ):
        make(id=f"{HERE}:DirectCfg")


@pytest.mark.parametrize(
    ("entry_point", "expected"),
    [
        ("DirectEnv", "expected module:name, got 'DirectEnv'"),
        (f"{HERE}:DirektEnv", f"module '{HERE}' has no 'DirektEnv' (did you mean 'DirectEnv'?)"),
        (f"{HERE}:register", f"expected module:Class of an environment, got '{HERE}:register'"),
        ("nowhere:Env", "cannot import 'nowhere'"),
    ],
)
def test_an_entry_point_that_is_no_class_is_named(entry_point: str, expected: str) -> None:
    with pytest.raises(EvaluationError) as refused:
        make({"entry_point": entry_point}, id=f"{HERE}:DirectCfg")
    assert str(refused.value).startswith(f"environment.options.entry_point: {expected}")
