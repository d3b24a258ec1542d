"""Success that follows from the reward, a number in the info or the length: in every simulator alike."""

from __future__ import annotations

import dataclasses

import numpy as np

from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import Success
from pytest_arena.jobs.threshold import Threshold
from pytest_arena.simulators.array_types import FloatArray, IndexArray, SuccessArray
from pytest_arena.simulators.base import UNMEASURED, Reset, Step


class SuccessRule:
    """A job's rule of what is a success, in place of what its simulator says."""

    def __init__(self, success: Success, threshold: Threshold) -> None:
        """Judge by *threshold* what *success* names."""
        self._success, self._threshold = success, threshold

    @classmethod
    def of(cls, job: Job) -> SuccessRule | None:
        """Return the rule of *job*; None where its simulator says what a success is."""
        threshold = job.success.rule
        return None if threshold is None else cls(job.success, threshold)

    def applied(self, step: Step, lengths: IndexArray) -> Step:
        """Return *step* with success as the rule has it.

        Args:
            step: What the environment gave.
            lengths: (N,) int64, the steps of the rows' episodes, with this one.

        Returns:
            A step that differs in ``success`` only: unmeasured where nothing is known, as in rows in which
            no step was taken.
        """
        if self._success.info is not None:
            return dataclasses.replace(step, success=self._of_info(step))
        values = step.reward if self._success.reward is not None else lengths.astype(np.float64)
        success = np.where(step.valid, self._judged(values), np.int8(UNMEASURED))
        return dataclasses.replace(step, success=success)

    def at_reset(self, reset: Reset) -> Reset:
        """Return *reset* with success as the rule has it: before a first step there is no reward."""
        unmeasured = np.full(len(reset.success), UNMEASURED, np.int8)
        success = self._of_info(reset) if self._success.info is not None else unmeasured
        return dataclasses.replace(reset, success=success)

    def _of_info(self, given: Step | Reset) -> SuccessArray:
        values = given.info.get(str(self._success.info))
        return self._judged(np.full(len(given.success), np.nan) if values is None else values)

    def _judged(self, values: FloatArray) -> SuccessArray:
        """Return success (N,) of *values* (N,), in which NaN is unmeasured."""
        limit = self._threshold
        above = values > limit.low if limit.low_open else values >= limit.low
        below = values < limit.high if limit.high_open else values <= limit.high
        return np.where(np.isnan(values), np.int8(UNMEASURED), above & below).astype(np.int8)
