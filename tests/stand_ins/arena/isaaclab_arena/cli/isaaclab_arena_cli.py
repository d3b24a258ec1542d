from __future__ import annotations

import argparse

from isaaclab import GENERATION
from isaaclab.app import AppLauncher


def get_isaaclab_arena_cli_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    AppLauncher.add_app_launcher_args(parser)
    parser.add_argument("--disable_fabric", action="store_true")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--num_envs", type=int, default=1)
    parser.add_argument("--env_spacing", type=float, default=30.0)
    parser.add_argument("--disable_pinocchio", dest="enable_pinocchio", default=True, action="store_false")
    parser.add_argument("--mimic", action="store_true")
    parser.add_argument("--no-solve-relations", action="store_false", dest="solve_relations", default=True)
    parser.add_argument("--placement_seed", type=int, default=None)
    if GENERATION >= (0, 3):
        parser.add_argument("--external_environment_class_path", default=None)
        parser.add_argument("--env_graph_spec_yaml", default=None)
        parser.add_argument("--presets", default=None)
    else:
        parser.add_argument("--environment", default=None)
    return parser
