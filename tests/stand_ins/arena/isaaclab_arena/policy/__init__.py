"""Policies of every style: from parsed arguments, from a dict, from a configuration of their own or registered."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import torch
from isaaclab import GENERATION, LOG
from isaaclab.app import require_app

require_app(__name__)


class PolicyBase:
    config_class: Any = None
    name = ""

    def __init__(self, config: Any = None) -> None:
        self.config, self.task_description = config, None
        LOG.append(("policy", type(self).__name__, config))

    def get_action(self, env: Any, observation: Any) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        assert not env.unwrapped.closed
        return torch.zeros(env.action_space.shape, device=env.unwrapped.device)

    def reset(self, env_ids: torch.Tensor | None = None) -> None:
        LOG.append(("policy.reset", None if env_ids is None else (env_ids.tolist(), str(env_ids.device))))

    def set_task_description(self, task_description: str | None) -> str | None:
        self.task_description = task_description
        LOG.append(("task", task_description))
        return task_description

    def close(self) -> None:
        LOG.append(("policy.close",))

    if GENERATION < (0, 3):

        def is_recording(self) -> bool:
            return False
    else:

        def has_length(self) -> bool:
            return False

    def length(self) -> int | None:
        return None


class ByArguments(PolicyBase):
    name = "rl_games"

    @staticmethod
    def add_args_to_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        parser.add_argument("--checkpoint", required=True)
        parser.add_argument("--joints", nargs="*", default=[])
        parser.add_argument("--deterministic", action="store_true")
        return parser

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> ByArguments:
        return cls(vars(args))


@dataclass
class ClosedLoopArgs:
    policy_config_yaml_path: str
    policy_device: str = "cuda"
    num_envs: int = 1


class ByDict(PolicyBase):
    name = "gr00t_closedloop"
    config_class = ClosedLoopArgs

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ByDict:
        return cls(cls.config_class(**values))


@dataclass
class ReplayCfg:
    replay_file_path: str
    steps: int = 7


class Replay(PolicyBase):
    name = "replay_lerobot"
    if GENERATION < (0, 3):
        config_class = ReplayCfg

        def is_recording(self) -> bool:
            return True
    else:

        def has_length(self) -> bool:
            return True

    def length(self) -> int | None:
        return self.config.steps


@dataclass
class RemoteCfg:
    """What policies behind a server have in common; the rest is their own."""

    remote_host: str = "localhost"
    remote_port: int = 8000
    policy_device: str = "cuda"
    ping_timeout: float | None = None


@dataclass
class CosmosRemoteCfg(RemoteCfg):
    open_loop_horizon: int = 8
    cosmos_embodiment_adapter: str = "droid"


class CosmosRemote(PolicyBase):
    name = "cosmos_remote"


class DreamZeroRemote(PolicyBase):
    name = "dreamzero_remote"
    config_class = RemoteCfg


if GENERATION >= (0, 3, 1):
    from isaaclab_arena.assets.registries import PolicyRegistry

    for policy, configuration in ((CosmosRemote, CosmosRemoteCfg), (DreamZeroRemote, RemoteCfg)):
        PolicyRegistry().register(policy, policy.name)
        PolicyRegistry.configurations[policy] = configuration

if GENERATION >= (0, 3):
    from isaaclab_arena.assets.registries import PolicyRegistry

    PolicyRegistry.configurations[Replay] = ReplayCfg
    for policy in (ByArguments, ByDict, Replay):
        PolicyRegistry().register(policy, policy.name)
else:
    from isaaclab_arena.assets.asset_registry import PolicyRegistry

    PolicyRegistry._components.update({policy.name: policy for policy in (ByArguments, ByDict, Replay)})
