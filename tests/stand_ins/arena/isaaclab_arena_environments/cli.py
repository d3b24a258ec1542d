from __future__ import annotations

import argparse
import importlib
from typing import Any

import yaml
from isaaclab import GENERATION
from isaaclab_arena.cli.isaaclab_arena_cli import get_isaaclab_arena_cli_parser

from isaaclab_arena_environments.environments import (
    CONFIGURATIONS,
    ExampleEnvironmentBase,
    describe,
    example,
    factory,
)

ExampleEnvironments: dict[str, Any] = {}


def _external(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


if GENERATION < (0, 3):
    ExampleEnvironments.update({name: example(name, kind) for name, kind in CONFIGURATIONS.items()})

    def get_isaaclab_arena_environments_cli_parser() -> argparse.ArgumentParser:
        parser = get_isaaclab_arena_cli_parser()
        external = parser.parse_known_args()[0].environment
        if external is not None:
            cls = _external(external)
            ExampleEnvironments[cls.name] = cls
        return _with_subparsers(parser, ExampleEnvironments)

    def get_arena_builder_from_cli(args_cli: argparse.Namespace) -> Any:
        from isaaclab_arena.environments.arena_env_builder import ArenaEnvBuilder

        return ArenaEnvBuilder(
            ExampleEnvironments[args_cli.example_environment]().get_env(args_cli), args_cli
        )

else:
    from isaaclab_arena.assets.registries import EnvironmentRegistry

    def ensure_environments_registered() -> None:
        for name, kind in CONFIGURATIONS.items():
            if name not in EnvironmentRegistry.components:
                made = factory(name, kind)
                EnvironmentRegistry().register(made, name)
                EnvironmentRegistry.configurations[made] = kind

    def get_isaaclab_arena_environments_cli_parser(
        args_parser: argparse.ArgumentParser | None = None,
    ) -> argparse.ArgumentParser:
        ensure_environments_registered()
        parser = args_parser or get_isaaclab_arena_cli_parser()
        given = parser.parse_known_args()[0]
        if given.external_environment_class_path is not None:
            cls = _external(given.external_environment_class_path)
            EnvironmentRegistry().register(cls, cls.name)
        if given.env_graph_spec_yaml is not None:
            with open(given.env_graph_spec_yaml) as file:
                for name in yaml.safe_load(file)["cli_override_specs"]:
                    parser.add_argument(f"--{name}", default=None)
            return parser
        return _with_subparsers(parser, EnvironmentRegistry.components)

    if GENERATION >= (0, 3, 1):

        def arena_env_from_graph_spec(env_spec: str, args_cli: argparse.Namespace) -> Any:
            assert env_spec == args_cli.env_graph_spec_yaml
            return describe("from_a_graph", args_cli)

    def get_arena_builder_from_cli(
        args_cli: argparse.Namespace, hydra_overrides: list[str] | None = None
    ) -> Any:
        from isaaclab_arena.environments.arena_env_builder import ArenaEnvBuilder

        if args_cli.env_graph_spec_yaml is not None:
            env = describe("from_a_graph", args_cli)
        else:
            env = EnvironmentRegistry.components[args_cli.example_environment]().get_env(args_cli)
        return ArenaEnvBuilder(env, args_cli, hydra_overrides=hydra_overrides)


def _with_subparsers(
    parser: argparse.ArgumentParser, environments: dict[str, Any]
) -> argparse.ArgumentParser:
    subparsers = parser.add_subparsers(dest="example_environment", required=True)
    for name, cls in environments.items():
        subparser = subparsers.add_parser(name)
        if issubclass(cls, ExampleEnvironmentBase):
            cls.add_cli_args(subparser)
    return parser
