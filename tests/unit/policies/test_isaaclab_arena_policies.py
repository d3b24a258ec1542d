"""Policies with the interface of IsaacLab-Arena's classes, without Arena."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_arena.policies.isaaclab_arena import ArenaPolicy, check_arena_settings

ENV = SimpleNamespace(num_envs=3, device="cpu", unwrapped=SimpleNamespace(name="first"))


class Recorder:
    """Keeps what it was made of and told."""

    def __init__(self, **given: Any) -> None:
        self.given, self.told = given, []

    def get_action(self, env: Any, observation: Any) -> Any:
        self.told.append(env.name)
        return np.zeros((3, 2))

    def reset(self, env_ids: Any = None) -> None:
        self.told.append(None if env_ids is None else list(map(int, env_ids)))


@dataclass
class Config:
    gain: float = 1.0
    num_envs: int = 1


class Configured(Recorder):
    config_class = Config

    def __init__(self, config: Config) -> None:
        super().__init__(config=config)


class FromDict(Configured):
    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FromDict:
        made = cls(Config(**values))
        made.given["by"] = "from_dict"
        return made


class FromArguments(Recorder):
    @staticmethod
    def add_args_to_parser(parser: Any) -> Any:
        parser.add_argument("--gain", type=float, required=True)
        parser.add_argument("--names", nargs="*")
        return parser

    @classmethod
    def from_args(cls, args: Any) -> FromArguments:
        return cls(**vars(args))


class ByDictOnly(Recorder):
    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ByDictOnly:
        return cls(values=values)


@pytest.mark.parametrize(
    ("cls", "settings", "given"),
    [
        (Recorder, {"gain": 2.0}, {"gain": 2.0}),
        (Configured, {"gain": 2.0}, {"config": Config(2.0, 3)}),
        (Configured, {"num_envs": 64}, {"config": Config(1.0, 3)}),
        (FromDict, {"gain": 2.0}, {"config": Config(2.0, 3), "by": "from_dict"}),
        (ByDictOnly, {"gain": 2.0}, {"values": {"gain": 2.0}}),
        (
            FromArguments,
            {"gain": 2, "names": ["a", "b"]},
            {"gain": 2.0, "names": ["a", "b"], "num_envs": 3, "device": "cpu"},
        ),
    ],
)
def test_each_style_is_made_as_arena_makes_it(
    cls: Any, settings: dict[str, Any], given: dict[str, Any]
) -> None:
    check_arena_settings(cls, settings)
    assert ArenaPolicy.make(cls, settings, ENV).wrapped.given == given


@pytest.mark.parametrize(
    ("cls", "settings", "message"),
    [
        (Configured, {"gian": 2.0}, r"Config has no 'gian' \(did you mean 'gain'\?\)"),
        (FromArguments, {"gain": "much"}, "argument --gain: invalid float value: 'much'"),
        (FromArguments, {"gain": 1, "noise": 2}, "unrecognized arguments: --noise 2"),
    ],
)
def test_wrong_settings_are_found_without_making_the_policy(
    cls: Any, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        check_arena_settings(cls, settings)


def test_a_rollout_begins_with_all_rows_in_its_own_environment() -> None:
    policy = ArenaPolicy.make(Recorder, {}, ENV)
    for name in ("first", "second"):
        policy.begin(SimpleNamespace(num_envs=3, device="cpu", unwrapped=SimpleNamespace(name=name)))
        policy.reset(np.arange(2), [1, 2])
        policy.act(None)
        policy.reset(np.array([1]), [3])
    assert policy.wrapped.told == [None, "first", [1], None, "second", [1]]


@pytest.mark.parametrize(("recorded", "length"), [(True, 7), (False, None)])
@pytest.mark.parametrize("name", ["has_length", "is_recording"])
def test_a_replay_has_a_length_in_either_interface(name: str, recorded: bool, length: int | None) -> None:
    members = {name: lambda self: recorded, "length": lambda self: 7, "__len__": lambda self: 99}
    assert ArenaPolicy.make(type("Replay", (Recorder,), members), {}, ENV).length() == length
