"""Recorders: observers of a rollout that leave files."""
