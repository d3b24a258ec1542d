"""Configurations that ship with Isaac Lab 3.0: their presets, loaded and not made into environments."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("isaaclab_newton", reason="needs Isaac Lab 3.0: docs/isaaclab.md")

from pytest_arena import EvaluationError
from pytest_arena.simulators.isaaclab.config import load_configuration
from tests.jobs import make_job

CARTPOLE = "isaaclab_tasks.core.cartpole.cartpole_manager_env_cfg:CartpoleEnvCfg"
WITH_CAMERA = "isaaclab_tasks.core.cartpole.cartpole_manager_camera_env_cfg:CartpoleCameraEnvCfg"


def load(name: str, *presets: str) -> tuple[Any, str | None, Any]:
    return load_configuration(make_job(simulator="isaaclab", environment={"id": name}), (), None, presets)


@pytest.mark.parametrize("name", [CARTPOLE, WITH_CAMERA, "Isaac-Cartpole"])
def test_places_with_presets_take_their_defaults(name: str) -> None:
    configuration, gym_id, cls = load(name)
    assert type(configuration.sim.physics).__name__ == "NewtonCfg"
    if ":" in name:
        assert (gym_id, cls.__name__) == (None, "ManagerBasedRLEnv")
    else:
        assert (gym_id, cls) == (name, None)


@pytest.mark.parametrize("name", [CARTPOLE, "Isaac-Cartpole"])
def test_presets_are_chosen_by_name(name: str) -> None:
    assert type(load(name, "isaacsim_physx")[0].sim.physics).__name__ == "PhysxCfg"


@pytest.mark.parametrize("name", [CARTPOLE, "Isaac-Cartpole", "evals.cart:CartEnvCfg"])
def test_an_unknown_preset_is_a_line(name: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        load(name, "newton_mjwrap")
    (line,) = str(raised.value).splitlines()
    assert line.startswith("environment.options.presets: ")
    assert ("it has none" if "evals" in name else "newton_mjwarp") in line
