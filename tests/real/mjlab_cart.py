"""A small task for mjlab: a cart on a rail that a constant action brings to a known end at a known step.

Pushed with a constant acceleration a, the cart is at a·dt²·n·(n+1)/2 after n steps: 5 mm·n·(n+1) at full force.
So +1 succeeds at step 6 (0.21 m), -1 runs off at step 4 (-0.10 m), and 0 times out at step 8. Where the cart
begins, and what is observed of it, is blurred by up to a millimetre.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import torch
from mjlab.actuator.xml_actuator import XmlActuatorCfg
from mjlab.entity import EntityArticulationInfoCfg, EntityCfg
from mjlab.envs import ManagerBasedRlEnvCfg
from mjlab.envs.mdp import joint_pos_rel, joint_vel_rel, reset_joints_by_offset, time_out
from mjlab.envs.mdp.actions import JointEffortActionCfg
from mjlab.managers.event_manager import EventTermCfg
from mjlab.managers.observation_manager import ObservationGroupCfg, ObservationTermCfg
from mjlab.managers.reward_manager import RewardTermCfg
from mjlab.managers.scene_entity_config import SceneEntityCfg
from mjlab.managers.termination_manager import TerminationTermCfg
from mjlab.rl import RslRlOnPolicyRunnerCfg
from mjlab.scene import SceneCfg
from mjlab.sensor import CameraSensorCfg
from mjlab.sim import MujocoCfg, SimulationCfg
from mjlab.tasks.registry import register_mjlab_task
from mjlab.utils.noise import UniformNoiseCfg

SUCCESS_AT, OFF_AT, TIME_OUT_AT = 6, 4, 8
BLUR = 0.001
CART = SceneEntityCfg("cart", joint_names=("rail",))

MJCF = """
<mujoco model="cart">
  <worldbody>
    <light pos="0 -1 2" dir="0 0.4 -1"/>
    <geom type="box" size="0.4 0.01 0.01" rgba="0.3 0.3 0.3 1"/>
    <geom type="box" pos="0.2 0.1 0" size="0.01 0.01 0.1" rgba="0.1 0.7 0.2 1"/>
    <camera name="side" pos="0 -0.8 0.1" xyaxes="1 0 0 0 0 1"/>
    <body name="cart">
      <joint name="rail" type="slide" axis="1 0 0"/>
      <geom type="box" size="0.04 0.04 0.04" mass="1" rgba="0.9 0.1 0.1 1"/>
    </body>
  </worldbody>
  <actuator>
    <motor name="push" joint="rail" ctrlrange="-4 4"/>
  </actuator>
</mujoco>
"""


def place(env: Any) -> torch.Tensor:
    """Return where the carts are, (N,) in metres."""
    held: torch.Tensor = env.scene["cart"].data.joint_pos[:, 0]
    return held


def at_mark(env: Any) -> torch.Tensor:
    return place(env) > 0.2


def off_rail(env: Any) -> torch.Tensor:
    return place(env) < -0.09


def cart_cfg(play: bool = False) -> ManagerBasedRlEnvCfg:
    """Return the task without a camera; for play it never times out, as in mjlab's own tasks."""
    noise = UniformNoiseCfg(n_min=-BLUR, n_max=BLUR)
    seen = {
        "place": ObservationTermCfg(func=joint_pos_rel, params={"asset_cfg": CART}, noise=noise),
        "speed": ObservationTermCfg(func=joint_vel_rel, params={"asset_cfg": CART}),
    }
    start = {"position_range": (-BLUR, BLUR), "velocity_range": (0.0, 0.0), "asset_cfg": CART}
    cart = EntityCfg(
        spec_fn=lambda: mujoco.MjSpec.from_string(MJCF),
        articulation=EntityArticulationInfoCfg(actuators=(XmlActuatorCfg(target_names_expr=("rail",)),)),
    )
    return ManagerBasedRlEnvCfg(
        scene=SceneCfg(entities={"cart": cart}),
        observations={"actor": ObservationGroupCfg(seen, enable_corruption=not play)},
        actions={"push": JointEffortActionCfg(entity_name="cart", actuator_names=("rail",), scale=4.0)},
        events={"start": EventTermCfg(func=reset_joints_by_offset, mode="reset", params=start)},
        rewards={"place": RewardTermCfg(func=place, weight=1.0)},
        terminations={
            "success": TerminationTermCfg(func=at_mark),
            "off_rail": TerminationTermCfg(func=off_rail),
            "time_out": TerminationTermCfg(func=time_out, time_out=True),
        },
        sim=SimulationCfg(mujoco=MujocoCfg(timestep=0.05, disableflags=("contact", "gravity"))),
        decimation=1,
        episode_length_s=1e9 if play else TIME_OUT_AT * 0.05,
    )


def filmed_cart_cfg() -> ManagerBasedRlEnvCfg:
    """Return the task with a camera."""
    configuration = cart_cfg()
    configuration.scene.sensors = (
        CameraSensorCfg(name="side", camera_name="cart/side", width=64, height=48),
    )
    return configuration


def red(image: np.ndarray) -> float:
    """Return where the cart's middle is in an image (H, W, 3), in columns from the left."""
    seen = image.astype(int)
    return float(np.nonzero((seen[..., 0] > 90) & (seen[..., 1] < 70) & (seen[..., 2] < 70))[1].mean())


class Push:
    """A policy that pushes every row with its own constant force: row i with ``forces[i % len(forces)]``."""

    def __init__(self, forces: list[float], env: Any) -> None:
        self._actions = np.resize(np.array(forces, np.float32), (env.num_envs, 1))

    def act(self, observation: Any) -> np.ndarray:
        return self._actions


READY = cart_cfg()
"""A configuration, for ``module:name``."""

register_mjlab_task("Arena-Cart", cart_cfg(), cart_cfg(play=True), RslRlOnPolicyRunnerCfg())
