from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest

from pytest_arena.simulators.isaaclab_arena.arguments import (
    argument_list,
    command_line,
    hydra_tokens,
    parser_errors,
    tokens,
    typed,
)


def test_tokens_are_those_of_arenas_runner() -> None:
    values: dict[str, Any] = {
        "a": True,
        "b": False,
        "c": None,
        "d": [],
        "e": ["x", 1],
        "f": 0,
        "g": 1.5,
        "h": ("y",),
    }
    assert tokens(values) == ["--a", "--e", "x", "1", "--f", "0", "--g", "1.5", "--h", "y"]


def test_the_order_of_arguments() -> None:
    values = {
        "embodiment": "gr1_joint",
        "placement_seed": 3,
        "seed": 5,
        "enable_cameras": True,
        "object": "cracker_box",
        "num_envs": 2,
    }
    assert argument_list(["gr1_open_microwave"], values, {"seed", "num_envs"}) == [
        *("--num_envs", "2", "--enable_cameras", "--placement_seed", "3", "--seed", "5"),
        "gr1_open_microwave",
        *("--embodiment", "gr1_joint", "--object", "cracker_box"),
    ]
    graph = argument_list(["--env_graph_spec_yaml", "scene.yaml"], {"pick_up_object": "banana"})
    assert graph == ["--env_graph_spec_yaml", "scene.yaml", "--pick_up_object", "banana"]


def test_variations_are_compact() -> None:
    variations = {
        "light": {"hdr_image": {"enabled": True}, "range": [0.5, 1]},
        "robot": {"camera": {"name": "a b", "off": None}},
        "empty": {},
    }
    assert hydra_tokens(variations) == [
        "light.hdr_image.enabled=true",
        "light.range=[0.5,1]",
        'robot.camera.name="a b"',
        "robot.camera.off=null",
    ]


@pytest.mark.parametrize(("variations", "below"), [({"": 1}, ""), ({"a": {"b": {"": 1}}}, " below a.b")])
def test_an_empty_name_of_a_variation_is_refused(variations: dict[str, Any], below: str) -> None:
    with pytest.raises(ValueError, match=f"got an empty one{below}$"):
        hydra_tokens(variations)


def test_the_process_has_its_arguments_back() -> None:
    before = sys.argv
    with command_line(["--x"]):
        assert sys.argv == [before[0], "--x"]
    assert sys.argv is before


def test_a_parser_raises_in_place_of_ending_the_process() -> None:
    parser = argparse.ArgumentParser()
    parser.add_subparsers(dest="name", required=True).add_parser("known").add_argument("--x", type=int)
    for words, message in (
        (["unknown"], "invalid choice"),
        (["known", "--x", "a"], "int"),
        (["known", "--y"], "--y"),
    ):
        with pytest.raises(ValueError, match=message), parser_errors():
            parser.parse_args(words)
    with pytest.raises(SystemExit):
        parser.parse_args(["unknown"])


class Backend(Enum):
    PHYSX = "physx"
    NEWTON = "newton"


@dataclass
class Part:
    size: int = 1


@dataclass
class Whole:
    name: str
    backend: Backend | None = None
    objects: tuple[str, ...] = ()
    part: Part = field(default_factory=Part)
    kept: list[int] = field(default_factory=list)


def test_plain_values_become_typed_ones() -> None:
    values = {"name": "a", "backend": "newton", "objects": ["x"], "part": {"size": 2}, "kept": [1]}
    assert typed(Whole, values) == Whole("a", Backend.NEWTON, ("x",), Part(2), [1])
    assert typed(Whole, {"name": "a", "backend": "PHYSX"}).backend is Backend.PHYSX
    assert typed(Whole, {"name": "a", "backend": None}).backend is None


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"name": "a", "objets": []}, TypeError, r"Whole has no 'objets' \(did you mean 'objects'\?\)"),
        ({"name": "a", "part": {"sise": 1}}, TypeError, r"Part has no 'sise' \(did you mean 'size'\?\)"),
        ({}, TypeError, "missing 1 required positional argument: 'name'"),
        (
            {"name": "a", "backend": "newtn"},
            ValueError,
            r"backend: expected one of physx, newton, got 'newtn' \(did you mean 'newton'\?\)",
        ),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        typed(Whole, values)
