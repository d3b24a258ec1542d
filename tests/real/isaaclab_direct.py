"""Direct environments around the cart of evals/cart.py: one agent, and a team of two."""

from __future__ import annotations

import torch
from isaaclab.envs import DirectMARLEnv, DirectMARLEnvCfg, DirectRLEnv, DirectRLEnvCfg
from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass

from evals.cart import RAIL, CartEnvCfg, CartSceneCfg


class _Cart:
    """What both share: the state of the cart, its ends, and its reset."""

    def _get_dones_of_the_cart(self) -> tuple[torch.Tensor, torch.Tensor]:
        off = self.scene["robot"].data.joint_pos.torch[:, 0].abs() > RAIL
        return off, self.episode_length_buf >= self.max_episode_length

    def _push(self, actions: torch.Tensor) -> None:
        self.scene["robot"].set_joint_effort_target(20.0 * actions.clamp(-1.0, 1.0))

    def _state(self) -> torch.Tensor:
        data = self.scene["robot"].data
        return torch.cat([data.joint_pos.torch, data.joint_vel.torch], dim=1)

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        super()._reset_idx(env_ids)
        zero = torch.zeros((len(env_ids), 1), device=self.device)
        self.scene["robot"].write_joint_state_to_sim(zero, zero, env_ids=env_ids)


@configclass
class DirectCfg(DirectRLEnvCfg):
    scene: CartSceneCfg = CartSceneCfg(num_envs=2, env_spacing=6.0)
    sim: SimulationCfg = CartEnvCfg().sim
    decimation = 4
    episode_length_s = 1.0
    action_space = 1
    observation_space = 2


class DirectCart(_Cart, DirectRLEnv):
    cfg: DirectCfg

    def _pre_physics_step(self, actions: torch.Tensor) -> None:
        self._actions = actions

    def _apply_action(self) -> None:
        self._push(self._actions)

    def _get_observations(self) -> dict[str, torch.Tensor]:
        return {"policy": self._state()}

    def _get_rewards(self) -> torch.Tensor:
        return torch.ones(self.num_envs, device=self.device)

    def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self._get_dones_of_the_cart()


@configclass
class TeamCfg(DirectMARLEnvCfg):
    scene: CartSceneCfg = CartSceneCfg(num_envs=2, env_spacing=6.0)
    sim: SimulationCfg = CartEnvCfg().sim
    decimation = 4
    episode_length_s = 1.0
    possible_agents: list[str] = ["left", "right"]  # noqa: RUF012
    action_spaces: dict[str, int] = {"left": 1, "right": 1}  # noqa: RUF012
    observation_spaces: dict[str, int] = {"left": 2, "right": 2}  # noqa: RUF012
    state_space = 0


class TeamCart(_Cart, DirectMARLEnv):
    """Two agents push the same cart, each with half the force."""

    cfg: TeamCfg

    def _pre_physics_step(self, actions: dict[str, torch.Tensor]) -> None:
        self._actions = (actions["left"] + actions["right"]) / 2

    def _apply_action(self) -> None:
        self._push(self._actions)

    def _get_observations(self) -> dict[str, torch.Tensor]:
        return {"left": self._state(), "right": self._state()}

    def _get_states(self) -> torch.Tensor:
        return self._state()

    def _get_rewards(self) -> dict[str, torch.Tensor]:
        one = torch.ones(self.num_envs, device=self.device)
        return {"left": one, "right": one}

    def _get_dones(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        off, late = self._get_dones_of_the_cart()
        return {"left": off, "right": off}, {"left": late, "right": late}


def on_the_right(env: DirectRLEnv) -> torch.Tensor:
    """Success of this task: the cart has run off to the right."""
    return env.scene["robot"].data.joint_pos.torch[:, 0] > RAIL
