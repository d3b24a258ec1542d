"""Experiment trackers, each a plugin of a few lines: ``pytest -p pytest_arena.trackers.tensorboard``."""
