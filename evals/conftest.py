"""A metric of our own: how fast the hand moved, at most. It can be used in thresholds like any other."""

from __future__ import annotations

import numpy as np

from pytest_arena import Metric


class PeakHandSpeed(Metric):
    """The largest speed of the hand over all steps of all episodes: one violation fails the threshold."""

    name = "peak_hand_speed"
    unit = "m/s"
    direction = "lower"
    reduction = "max"
    watches_steps = True

    def start(self, env, job):
        self.step_dt = env.step_dt
        self.peak = np.zeros(env.num_envs)

    def reset(self, rows, observation):
        self.peak[rows] = 0.0

    def step(self, transition):
        rows = transition.reached_rows
        moved = transition.reached[rows, :3] - transition.observation[rows, :3]  # the hand's position
        self.peak[rows] = np.maximum(self.peak[rows], np.linalg.norm(moved, axis=1) / self.step_dt)

    def end(self, row, episode):
        return float(self.peak[row])


def pytest_arena_metrics(job):
    """Every Meta-World job has the metric."""
    return [PeakHandSpeed()] if job.simulator == "metaworld" else None
