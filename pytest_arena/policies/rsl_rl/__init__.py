"""Policies that rsl_rl trained: its checkpoints, and what Isaac Lab and mjlab export of them."""
