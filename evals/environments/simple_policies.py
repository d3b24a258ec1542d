"""Policies that are written down, not learned: enough to see that a success is read as one."""

from __future__ import annotations

from typing import Any

import numpy as np


class Reach:
    """Moves the hand of a Fetch straight to its goal."""

    def act(self, observation: Any) -> Any:
        """Return (N, 4): the way that is left, at most a full step of it, and the gripper as it is."""
        way = observation["desired_goal"] - observation["achieved_goal"]
        return np.concatenate([np.clip(10.0 * way, -1.0, 1.0), np.zeros((len(way), 1))], axis=1)


class Lift:
    """Lifts the cube of robosuite's Lift: over it, down, closed, up; it sees which comes next."""

    def act(self, observation: Any) -> Any:
        """Return (N, 7): a motion of the hand in [-1, 1], no turn, and the gripper, -1 open to 1 closed."""
        cube, hand = observation["cube_pos"], observation["robot0_eef_pos"]
        way = cube - hand
        over = np.linalg.norm(way[:, :2], axis=1) < 0.015
        closed = np.abs(observation["robot0_gripper_qpos"]).max(axis=1) < 0.036
        around = over & (np.abs(way[:, 2]) < np.where(closed, 0.03, 0.012))
        held = around & closed & (np.abs(observation["robot0_gripper_qvel"]).max(axis=1) < 0.02)
        lifted = cube[:, 2] > 0.84
        action = np.zeros((len(way), 7))
        action[:, :3] = np.clip(
            20.0 * (way + np.where(over, 0.0, 0.06)[:, None] * [0.0, 0.0, 1.0]), -1.0, 1.0
        )
        action[around] = 0.0
        action[held | lifted] = [0.0, 0.0, 0.6, 0.0, 0.0, 0.0, 0.0]
        action[:, 6] = np.where(around | lifted, 1.0, -1.0)
        return action
