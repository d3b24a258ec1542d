"""Environments by name; importing them is left to `isaaclab_arena_environments.cli`."""
