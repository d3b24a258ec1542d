"""The loop steps an environment of N rows through a schedule of episodes and calls the observers.

No Python code runs per row and step: rows are counted with array operations, and only rows that begin or end
an episode are visited one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Protocol

import numpy as np

from pytest_arena.guards.deadline import Deadline
from pytest_arena.guards.foreign_code import end_forked_child, forks
from pytest_arena.policies.base import Policy
from pytest_arena.policies.duck_typed import policy_name
from pytest_arena.policies.times import Times
from pytest_arena.records.files import utc_now
from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.rollout.action_check import ActionCheck
from pytest_arena.rollout.info_metrics import watched_info
from pytest_arena.rollout.initial_state import initial_states
from pytest_arena.rollout.metrics import Metric, checked_value
from pytest_arena.rollout.recorder import Recorder, RolloutContext
from pytest_arena.rollout.schedule import EpisodeStart, Schedule
from pytest_arena.rollout.success_rule import SuccessRule
from pytest_arena.rollout.transition import Transition
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.base import UNMEASURED, EpisodeEnd, Reset, Step
from pytest_arena.simulators.env_check import check_metrics, check_reset, check_step

_REWARDS_AT_ONCE = 64
"""Steps whose rewards are compared with the largest at once: one comparison a step would cost more."""
Watch = Callable[["Loop"], None]
"""Called after every step, to show progress. It must return at once: the loop waits for it."""


class Stop(Protocol):
    """Decides when a rollout may end before its schedule does; a gate is one."""

    done: bool
    """Whether enough is known: then no further step is taken."""

    def add(self, episode: Episode) -> None:
        """Take in an episode that has ended and is recorded."""


@dataclass(frozen=True, slots=True)
class Observers:
    """Whom the loop calls, in this order: metrics, recorders, then *watch* after each step."""

    metrics: Sequence[Metric]
    recorders: Sequence[Recorder]
    watch: Watch | None = None
    stop: Stop | None = None
    save: Callable[[Episode], None] | None = None
    """Writes the line of an episode that ended: after the recorders, whose files it names."""


class Loop:
    """Runs one environment of N rows through one schedule; ``episodes`` fills as they end.

    A row is *active* while it has an episode. Rows without one (parked, or waiting for a simulator's own
    reset) are stepped with the others where the simulator knows no other way, and are not counted.
    Steps are counted per row, from 0; the reward is the simulator's own unit, its sum is the return.
    """

    def __init__(
        self,
        context: RolloutContext,
        policy: Policy,
        schedule: Schedule,
        observers: Observers,
        first_steps: np.ndarray | None = None,
    ) -> None:
        """Prepare a rollout; nothing is reset or stepped yet.

        Args:
            context: job, label and environment of the rollout.
            policy: acts on observations of all N rows.
            schedule: gives each row its next episode.
            observers: metrics, recorders and watchers.
            first_steps: (N,) int64, the steps that each row took before a rebuild; None: none.
        """
        self.env, self.job, self.context = context.env, context.job, context
        self.policy, self.schedule, self.observers = policy, schedule, observers
        self.episodes: list[Episode] = []
        """Those that ended, in the order of their ends."""
        self.vector_steps = 0
        """Calls of `SimEnv.step`, each of which steps all rows."""
        self.acting = False
        """Whether the policy was asked for actions and has not returned: an error is then its own."""
        self.activity: str | None = None
        """What is done after the last step, e.g. ``filming 3 failures``, to be shown as progress."""
        self.act_times = Times()
        """How long the policy took for each step of all rows."""
        n = self.env.num_envs
        self.actions = ActionCheck(self.env, policy_name(policy))
        # Steps of each row (N,) int64, without those of `_steps_of_all`: adding to one number costs less.
        self._row_steps = np.zeros(n, np.int64) if first_steps is None else first_steps.copy()
        self._steps_of_all = 0
        self.active = np.zeros(n, np.bool_)
        """(N,) bool: the row has an episode."""
        self._running = 0  # the number of active rows: a count over the array at every step would cost more
        # Under next-step autoreset the next step resets these rows (N,), which then begin these episodes.
        self._waiting = np.zeros(n, np.bool_)
        self._following: dict[int, EpisodeStart] = {}
        # Rows whose episode the policy could not go on with begin these once the simulator has reset them.
        self._after_error: dict[int, EpisodeStart] = {}
        # What the row's latest episode began with.
        self._starts: list[EpisodeStart | None] = [None] * n
        self._initial_states: list[str | None] = [None] * n
        self._first_step = np.zeros(n, np.int64)  # `row_steps` at its begin
        self._reset_success = np.full(n, UNMEASURED, np.int8)
        self._began_at: list[tuple[str, float]] = [("", 0.0)] * n  # UTC as text, and monotonic seconds
        # What it has gathered since.
        self._return = np.zeros(n, np.float64)
        self._max_reward = np.full(n, -np.inf)  # without that of `_rewards`
        self._rewards: list[np.ndarray] = []  # (N,) each, of steps that counted in all rows
        self._first_success = np.full(n, -1, np.int64)  # steps to its first success; -1: none yet
        self._without_success = np.zeros(n, np.bool_)
        self._rule = SuccessRule.of(self.job)
        self._step_metrics = [m for m in observers.metrics if m.watches_steps]
        self._step_recorders = [r for r in observers.recorders if r.watches_steps]
        self._observation: Observation = None
        self._forks = forks()

    @property
    def row_steps(self) -> np.ndarray:
        """The steps that each row has taken in its episodes, (N,) int64."""
        self._row_steps += self._steps_of_all
        self._steps_of_all = 0
        return self._row_steps

    def run(self, deadline: Deadline, max_steps: int | None = None) -> None:
        """Step until every scheduled episode has ended, or for *max_steps* steps of all rows.

        Where the observers' ``stop`` is done earlier, the running episodes are dropped: they get no end and
        no line, and no observer is called for them again.

        Raises:
            RolloutTimeoutError: *deadline* is over; it is also what ends code that hangs.
            EvaluationError: the policy or the environment returned what it must not.
        """
        self.env.watch_info(watched_info(self.job, self.observers.metrics))
        for metric in self.observers.metrics:
            metric.start(self.env, self.job)
        self._reset_all()
        while self._unfinished() and (max_steps is None or self.vector_steps < max_steps):
            deadline.check()
            self.acting = True
            began = perf_counter()
            actions = self.policy.act(self._observation)
            self.act_times.add(perf_counter() - began)
            if errors := self.policy.row_errors:
                self._cut_off(self.actions.row_errors(errors))
            actions = self.actions(actions, self.active)
            self.acting = False
            end_forked_child(self._forks)
            given = self.env.step(actions)
            end_forked_child(self._forks)
            step = check_step(self.env, given)
            if self._rule is not None:
                step = self._rule.applied(step, self.row_steps - self._first_step + step.valid)
            self.vector_steps += 1
            self._count(actions, step)
            self._observation = step.observation
            if step.ends or self._following or self._after_error:
                self._next_episodes(step)
            if self.observers.watch is not None:
                self.observers.watch(self)

    def abandon(self, error: BaseException) -> list[Episode]:
        """Return the running episodes, each with the outcome error and *error* as its reason."""
        reason = f"{type(error).__name__}: {error}"
        abandoned = [self._without_end(int(row), "exception", reason) for row in np.flatnonzero(self.active)]
        self.active[:] = False
        self._running = 0
        return abandoned

    def _cut_off(self, errors: Mapping[int, str]) -> None:
        """End the episodes of rows that have no action; their next ones begin after this step."""
        for row, reason in errors.items():
            if not self.active[row]:
                continue
            episode = self._without_end(row, "policy", reason)
            for recorder in self.observers.recorders:
                end_forked_child(self._forks)
                recorder.on_end(row, episode)
            self._record(row, episode)
            self.policy.end_episodes(np.array([row], np.int64), [episode])
            # When the run is resumed this episode is run again: then nobody knows of these steps.
            self.row_steps[row] = self._first_step[row]
            if (start := self.schedule.next_for(row)) is not None:
                self._after_error[row] = start

    def _without_end(self, row: int, end_reason: str, error: str) -> Episode:
        """Return the episode of *row* as it is now, with the outcome error."""
        episode = self._episode(row, EpisodeEnd(row, end_reason), success_at_end=None)
        episode.outcome, episode.error = Outcome.ERROR, error
        return episode

    def _unfinished(self) -> bool:
        stop = self.observers.stop
        if stop is not None and stop.done:
            return False
        return bool(self._following or self._running or self._after_error)

    def _reset_all(self) -> None:
        """Give every row its first episode, and reset."""
        rows, starts = self._draw(range(self.env.num_envs))
        seeds = [start.seed for start in starts]
        caps = self.env.capabilities
        self._announce(rows, starts)
        if caps.partial_reset and len(rows) < self.env.num_envs:
            reset = self._reset(np.array(rows, np.int64), seeds)
        else:
            # A simulator that resets all rows at once needs a seed for rows without an episode as well.
            reset = self._reset(None, seeds + [0] * (self.env.num_envs - len(rows)))
        self._observation = reset.observation
        self._begin(rows, starts, reset.success)

    def _announce(self, rows: Sequence[int], starts: Sequence[EpisodeStart]) -> None:
        """Tell the environment which episodes its *rows* begin in the reset that comes."""
        self.env.set_episodes(np.array(rows, np.int64), [start.episode for start in starts])

    def _reset(self, env_ids: IndexArray | None, seeds: Sequence[int]) -> Reset:
        given = self.env.reset(env_ids, seeds)
        end_forked_child(self._forks)
        reset = check_reset(self.env, given)
        return reset if self._rule is None else self._rule.at_reset(reset)

    def _draw(self, rows: Sequence[int] | range) -> tuple[list[int], list[EpisodeStart]]:
        """Return the rows that have a next episode, and these episodes."""
        drawn = [
            (row, start)
            for row in rows
            if (start := self._after_error.pop(row, None) or self.schedule.next_for(row)) is not None
        ]
        return [row for row, _ in drawn], [start for _, start in drawn]

    def _begin(self, rows: list[int], starts: list[EpisodeStart], success: np.ndarray) -> None:
        """Begin an episode in each of *rows*; *success* (N,) int8 is that of the reset states."""
        if not rows:
            return
        index = np.array(rows, np.int64)
        self._waiting[index] = False
        self._first_step[index] = self.row_steps[index]
        self._return[index] = 0.0
        self._compare_rewards()
        self._max_reward[index] = -np.inf
        self._first_success[index] = -1
        self._without_success[index] = True
        self._reset_success[index] = success[index]
        now = (utc_now(), monotonic())
        states = initial_states(self._observation, index, self.env.single_observation_space)
        for row, start, state in zip(rows, starts, states, strict=True):
            self._starts[row] = start
            self._initial_states[row] = state
            self._began_at[row] = now
        self.active[index] = True  # only now: `abandon` reads what is set above
        self._running = int(np.count_nonzero(self.active))
        self.policy.set_episodes(index, [start.episode for start in starts])
        self.policy.reset(index, [start.policy_seed for start in starts])
        for metric in self._step_metrics:
            metric.reset(index, self._observation)
        for recorder in self.observers.recorders:
            end_forked_child(self._forks)  # what ran before may have forked, and a recorder writes files
            recorder.on_reset(index, starts, self._observation)

    def _count(self, action: Action, step: Step) -> None:
        """Add one step to each active row in which it was valid, and finish the episodes that it ended."""
        counted = self.active
        # The usual step counts all rows. Searching bytes costs less than a mask, a count or a comparison.
        if self._running == len(counted) and b"\x00" not in step.valid.tobytes():
            self._steps_of_all += 1
            self._return += step.reward
            self._rewards.append(step.reward)
            if len(self._rewards) == _REWARDS_AT_ONCE:
                self._compare_rewards()
        else:
            counted = counted & step.valid
            self._compare_rewards()
            self._row_steps += counted
            np.add(self._return, step.reward, out=self._return, where=counted)
            np.maximum(self._max_reward, step.reward, out=self._max_reward, where=counted)
        if b"\x01" in step.success.tobytes() and b"\x01" in self._without_success.tobytes():
            newly = counted & (step.success == 1) & self._without_success
            self._first_success[newly] = (self.row_steps - self._first_step)[newly]
            self._without_success[newly] = False
        if self._step_metrics or self._step_recorders:
            self._notify_of_step(np.flatnonzero(counted), action, step)
        if step.ends:
            rows = [end.env_idx for end in step.ends if counted[end.env_idx]]
            finished = [self._finish(end, step) for end in step.ends if counted[end.env_idx]]
            if finished:
                self.policy.end_episodes(np.array(rows, np.int64), finished)

    def _compare_rewards(self) -> None:
        """Take the rewards of the latest steps, which counted in all rows, into each row's largest."""
        if self._rewards:
            np.maximum(self._max_reward, np.maximum.reduce(self._rewards), out=self._max_reward)
            self._rewards.clear()

    def _notify_of_step(self, rows: np.ndarray, action: Action, step: Step) -> None:
        if self._step_metrics:
            transition = Transition.of(rows, self._observation, action, step)
            for metric in self._step_metrics:
                metric.step(transition)
        for recorder in self._step_recorders:
            end_forked_child(self._forks)
            recorder.on_step(rows, action, step)

    def _finish(self, end: EpisodeEnd, step: Step) -> Episode:
        row = end.env_idx
        at_end = int(step.success[row])
        episode = self._episode(row, end, None if at_end == UNMEASURED else bool(at_end))
        for metric in self.observers.metrics:
            episode.metrics[metric.name] = checked_value(metric, metric.end(row, episode))
        for recorder in self.observers.recorders:
            end_forked_child(self._forks)
            recorder.on_end(row, episode)
        self._record(row, episode)
        return episode

    def _record(self, row: int, episode: Episode) -> None:
        """Write the line of an episode that ended in *row*."""
        if self.observers.save is not None:
            end_forked_child(self._forks)
            self.observers.save(episode)
        # Only now, after its line is written: an error before this makes it an abandoned episode.
        self.active[row] = False
        self._running -= 1
        self.episodes.append(episode)
        if self.observers.stop is not None:
            self.observers.stop.add(episode)

    def _episode(self, row: int, end: EpisodeEnd, success_at_end: bool | None) -> Episode:
        self._compare_rewards()
        start, (started_at, began) = self._starts[row], self._began_at[row]
        assert start is not None, "an active row has an episode"
        once: bool | None = bool(self._first_success[row] >= 0)
        if not once and success_at_end is None:
            once = None  # the last step was not measured
        success = once if self.job.success.when == "once" else success_at_end
        at_reset = int(self._reset_success[row])
        steps, first_step = int(self.row_steps[row]), int(self._first_step[row])
        return Episode(
            job=self.context.label,
            attempt=self.context.attempt,
            rebuild=start.rebuild,
            episode=start.episode,
            seed=start.seed,
            env_idx=row,
            start_step=first_step,
            end_step=steps - 1,
            length=steps - first_step,
            outcome=_outcome(success),
            success_once=once,
            success_at_end=success_at_end,
            success_at_reset=None if at_reset == UNMEASURED else bool(at_reset),
            return_=float(self._return[row]),
            max_reward=float(self._max_reward[row]) if steps > first_step else None,
            end_reason=end.reason,
            started_at=started_at,
            wall_time_seconds=round(monotonic() - began, 6),
            time_to_success=int(self._first_success[row]) if once else None,
            initial_state=self._initial_states[row],
            metrics=check_metrics(f"the environment, of the episode that ended in row {row},", end.metrics),
            details=dict(end.details),
        )

    def _next_episodes(self, step: Step) -> None:
        """Give rows that ended their next episode, in the way that the simulator resets."""
        if self._following:  # next-step autoreset: these rows were reset in this step
            fresh = [int(row) for row in np.flatnonzero(self._waiting & ~step.valid)]
            self._begin(fresh, [self._following.pop(row) for row in fresh], step.success)
        autoreset = self.env.capabilities.autoreset
        ended = {end.env_idx for end in step.ends}
        if autoreset == "manual":  # any row can be reset; else the simulator does so at the row's own end
            ended.update(self._after_error)
        if not ended:
            return
        rows, starts = self._draw(sorted(ended))
        if autoreset != "same_step" and rows:
            self._announce(rows, starts)
        if autoreset == "next_step":
            self._waiting[rows] = True
            self._following.update(zip(rows, starts, strict=True))
        elif autoreset == "same_step":
            self._begin(rows, starts, np.full(self.env.num_envs, UNMEASURED, np.int8))
        elif rows:
            reset = self._reset(np.array(rows, np.int64), [start.seed for start in starts])
            self._observation = reset.observation
            self._begin(rows, starts, reset.success)


def _outcome(success: bool | None) -> Outcome:
    if success is None:
        return Outcome.UNKNOWN
    return Outcome.SUCCESS if success else Outcome.FAILURE
