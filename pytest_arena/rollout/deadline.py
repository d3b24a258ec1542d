"""The limit of time that the loop asks once a step."""

from pytest_arena.guards.deadline import Deadline

__all__ = ["Deadline"]
