"""Run one job: environment, policy and recorders in, `JobRecord` out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

import numpy as np

from pytest_arena.errors import USERS_MISTAKE, EvaluationError, RolloutTimeoutError
from pytest_arena.evaluation.judge import Against, compared, judge
from pytest_arena.gate.job_gate import JobGate
from pytest_arena.guards import uncaptured_stderr
from pytest_arena.guards.deadline import Deadline
from pytest_arena.guards.foreign_code import foreign_code
from pytest_arena.jobs.model import Job, split_episodes
from pytest_arena.policies.base import Policy
from pytest_arena.policies.declared import says_nothing_of_its_episodes
from pytest_arena.policies.duck_typed import policy_name
from pytest_arena.policies.fingerprints import changed_source, source_identity
from pytest_arena.policies.registry import BUILT_IN, as_policy, policy_files
from pytest_arena.policies.times import inference_record, merged_inference
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.judgement import Judgement
from pytest_arena.records.schema import NOT_REPRODUCIBLE, Episode, JobRecord
from pytest_arena.records.to_plain import to_plain
from pytest_arena.rollout.action_check import ActionCheck, outside_notes
from pytest_arena.rollout.initial_state import leaves_out_images
from pytest_arena.rollout.loop import Loop, Observers, Watch
from pytest_arena.rollout.metrics import Metric
from pytest_arena.rollout.recorder import Recorded, Recorder, RolloutContext, closed
from pytest_arena.rollout.schedule import fixed_schedule, open_schedule
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.env_check import check_metrics, require_env

_OTHER_SOURCE = (
    "the file that defines the policy's class has changed since the first episodes: not all of them ran with "
    "the same code"
)
_OTHER_NUMBERS = (
    "its episodes may have other numbers than in the whole job: its policy, or its environment, does not say "
    "that an episode depends on its seed alone"
)
MakeEnv = Callable[[int], SimEnv]
"""rebuild number -> environment; 0 is the first."""
_FOREIGN = "the environment, the policy, a recorder or a metric"


@dataclass
class Evaluation:
    """The rollout of one attempt at one job, from the environment to the closed record."""

    job: Job
    attempt: Attempt
    """Begun; its record is filled as the evaluation goes on, so that a failure leaves what is known."""
    make_env: MakeEnv
    policy: Policy
    recorders: Sequence[Recorder] = ()
    metrics: Sequence[Metric] = ()
    """Beside the standard ones."""
    watch: Watch | None = None
    against: Against = field(default_factory=Against)
    """What a job with ``regression`` is compared with."""
    environment_failed: bool = field(default=False, init=False)
    """A recorder that used the environment after the rollout found it failing: it may be in any state."""

    def __post_init__(self) -> None:
        self.record, self._earlier = self.attempt.record, self.attempt.earlier
        files = policy_files(self.job) if self.job.policy.type not in BUILT_IN else {}
        self._files = {"files": files} if files else {}
        run, directory = self.attempt.run, self.attempt.directory
        paths = sorted(path for episode in self._earlier for path in episode.videos.values())
        self.record.videos = [path for path in paths if (run.path / path).exists()]
        if directory.resumed and directory.dataset.exists():
            self.record.hdf5_path = self.attempt.relative(directory.dataset)
        self.record.definitions = {metric.name: metric.definition() for metric in self.metrics}
        self._frames_notice: str | None = None
        self._reviewed = False
        self._actions: list[ActionCheck] = []  # one a rebuild
        self._gate = JobGate.of(self.job, self.metrics, self._earlier, self.record.deterministic)
        # So the rule is on disk before the first episode.
        self.record.gate = self._gate.record if self._gate is not None else None
        self._observers = Observers(self.metrics, self.recorders, self.watch, self._gate, self.attempt.add)

    @property
    def counted(self) -> list[Episode]:
        """The episodes that the record's numbers are made of."""
        return self.record.counted(sorted(self.attempt.episodes, key=lambda e: e.episode))

    def run(self) -> JobRecord:
        """Run the rollout; returns the record, which is closed and on disk.

        Whatever a policy or environment raises is raised again, after the record, which holds the traceback
        and the episodes that had finished, has been closed. `EvaluationError` where the rollout ran but is
        no measurement.
        """
        # A traceback through this package says nothing about a user's mistake.
        __tracebackhide__ = USERS_MISTAKE
        attempt, started = self.attempt, monotonic()
        try:
            judgement = self._measure()
        except Exception as error:
            failure = error
            try:
                self._review_after_failure()
            finally:
                self._close(started, lambda: attempt.fail(failure, self._judge_what_there_is()))
            error.add_note(
                f"arena: job {self.record.job!r} ended after {self.record.episodes['measured']} finished "
                f"episodes; they are kept in {attempt.directory.episodes}"
            )
            raise
        except BaseException:
            self._close(
                started, lambda: attempt.interrupt(self._judge_what_there_is()), wait_for_overview=False
            )
            raise
        self._close(started, lambda: attempt.complete(judgement))
        return self.record

    def _measure(self) -> Judgement:
        """Roll out, close the recorders, and judge: only then is the job completed."""
        __tracebackhide__ = USERS_MISTAKE
        try:
            self._roll_out(Deadline(self.job.rollout.timeout, last_resort=self._give_up))
        except BaseException as error:
            self._close_recorders(error)
            raise
        self._close_recorders()
        judgement = self._judge()
        self._review()
        if judgement.problem is not None:
            raise EvaluationError(judgement.problem)
        return compared(judgement, self.job, self.record, self.metrics, self.against)

    def _judge(self) -> Judgement:
        episodes, reported = self.attempt.episodes, self.record.reported
        return judge(self.job, episodes, self.record, self.metrics, reported)

    def _judge_what_there_is(self) -> Judgement | None:
        """Judge after a failure: a metric that raises must not keep the record from being closed."""
        try:
            return self._judge()
        except Exception as error:
            self.attempt.note(f"the episodes could not be judged: {type(error).__name__}: {error}")
            return None

    def _review(self) -> None:
        """Ask the policy, once, what it has to say of its episodes."""
        if self._reviewed or len(self.attempt.episodes) == len(self._earlier):
            return
        self._reviewed = True
        limit = Deadline(self.job.rollout.timeout, "while the policy reviewed its episodes", self._give_up)
        with foreign_code("the policy"), limit:
            self.attempt.note(*self.policy.review(self.attempt.episodes))
            if not self.policy.reproducible:  # it may have said so before its review
                self._not_reproducible("the policy's review of its episodes found so")

    def _not_reproducible(self, reason: str) -> None:
        """Say in the record that its episodes cannot be played again, and why, if it does not say so yet."""
        if self.record.reproducible:
            self.record.reproducible = False
            self.attempt.note(f"{NOT_REPRODUCIBLE}{reason}")

    def _review_after_failure(self) -> None:
        try:
            self._review()
        except Exception as error:
            self.attempt.note(f"the policy's review failed: {type(error).__name__}: {error}")

    def _give_up(self, error: RolloutTimeoutError) -> None:
        """Close the record: the rollout hangs, in another thread, and the process is about to end."""
        self.attempt.fail(error, self._judge_what_there_is())

    def _close(self, started: float, close: Callable[[], None], *, wait_for_overview: bool = True) -> None:
        """Close the record: after a failure as after a success. Nobody who stops a job waits for a film."""
        try:
            if wait_for_overview:
                self._add_overview()
        finally:
            since = "after the run was resumed: " if self._earlier else ""
            self.attempt.note(*(f"{since}{note}" for note in outside_notes(self._actions)))
            self.record.timings["total_seconds"] = round(monotonic() - started, 6)
            close()

    def _roll_out(self, deadline: Deadline) -> None:
        __tracebackhide__ = USERS_MISTAKE
        if self.attempt.nothing_left:
            return
        counter, taken = itertools.count(), self._steps_taken()
        wanted = set(self.job.wanted_episodes) - {episode.episode for episode in self._earlier}
        shares = split_episodes(self.job.rollout.episodes or 0, self.job.rollout.rebuilds)
        for rebuild, whole_share in enumerate(shares):
            share = [episode for episode in whole_share if episode in wanted]
            if not share and self.job.rollout.episodes is not None:
                continue
            if self._gate is not None and self._gate.done:
                break
            built = monotonic()
            env = self.make_env(rebuild)
            self.attempt.spent("build_seconds", built)
            with foreign_code(_FOREIGN), deadline:
                loop = self._loop(env, rebuild, share, counter, taken)
            self._warn_of_no_end(env)
            # Should this process die, the record tells what was evaluated, and how to reduce the episodes.
            self._identify(env)
            self.attempt.save()
            self._run(loop, len(share) or None, deadline)
            taken = loop.row_steps
            if loop.episodes:
                with foreign_code(_FOREIGN), deadline:
                    self.record.reported.append(
                        (len(loop.episodes), check_metrics(f"{type(env).__name__}.metrics()", env.metrics()))
                    )
            self._after_rollout(loop, deadline)
            self._identify(env)

    def _run(self, loop: Loop, episodes: int | None, deadline: Deadline) -> None:
        """Run *loop*; whatever ends it, what it did is kept."""
        __tracebackhide__ = USERS_MISTAKE
        began = monotonic()
        try:
            with foreign_code(_FOREIGN), deadline:
                loop.env.begin(episodes)
                loop.run(deadline, self._max_steps())
        except Exception as error:
            for episode in loop.abandon(error):
                self.attempt.add(episode)
            if loop.acting and not isinstance(error, RolloutTimeoutError):
                self._after_rollout(loop, deadline)
            raise
        finally:
            self.attempt.spent("rollout_seconds", began)
            self.record.steps += loop.vector_steps
            self._add_inference(loop)
            self._actions.append(loop.actions)
            self._identify(loop.env)

    def _add_inference(self, loop: Loop) -> None:
        """Note how long the policy took in the rollout that has just ended."""
        policy, env = loop.policy, loop.env
        if (requests := policy.request_times) is not None:
            policy.request_times = None
        took = inference_record(loop.act_times, requests, batch=env.num_envs, step_dt=env.step_dt)
        self.record.inference = merged_inference([self.record.inference, took])

    def _warn_of_no_end(self, env: SimEnv) -> None:
        """Say at once that an episode may last for ever: nobody reads the record of a job that never ends."""
        limit = self.job.rollout
        if limit.episodes is None or limit.timeout is not None or env.max_episode_steps is not None:
            return
        note = (
            "the environment has no step limit (environment.max_episode_steps) and the job no time limit "
            "(rollout.timeout): an episode that does not end by itself lasts for ever"
        )
        if not self._actions:  # of the first rebuild
            self.attempt.note(note)
            uncaptured_stderr.say(f"job {self.record.job!r}: {note}")

    def _after_rollout(self, loop: Loop, deadline: Deadline) -> None:
        """Let recorders use the environment, within the job's time; films cost a rebuild none of its own."""
        limit = deadline.rest("after the rollout")

        def tick(activity: str) -> None:
            loop.activity = activity
            limit.check()
            if self.watch is not None:
                self.watch(loop)

        began = monotonic()
        with foreign_code(_FOREIGN), limit:
            for recorder in self.recorders:
                recorder.after_rollout(tick)
        self.attempt.spent("filming_seconds", began)

    def _loop(
        self,
        env: SimEnv,
        rebuild: int,
        share: Sequence[int],
        counter: itertools.count[int],
        taken: np.ndarray | None,
    ) -> Loop:
        __tracebackhide__ = USERS_MISTAKE
        require_env(env)
        self.policy = as_policy(self.policy, env)
        caps, seeds = env.capabilities, self.job.environment
        if seeds.seeds is not None and not caps.episode_seeds:
            raise EvaluationError(
                "environment.seeds: the environment's rows cannot be seeded one by one, so that no episode "
                "would have its own seed: leave it out, and set environment.seed"
            )
        if self.job.rollout.only is not None and not caps.episode_seeds:
            raise EvaluationError(
                "rollout.only: the environment's rows cannot be seeded one by one, so that no episode can be "
                "run without those before it (row i of N runs episodes i, i+N, …): run the whole job"
            )
        schedule = (
            fixed_schedule(share, seeds, rebuild=rebuild, num_envs=env.num_envs, seeded=caps.episode_seeds)
            if self.job.rollout.episodes is not None
            else open_schedule(counter, seeds, rebuild=rebuild)
        )
        folder, run = self.attempt.directory.path, self.attempt.run.path
        context = RolloutContext(self.job, self.record.job, self.record.attempt, folder, run, env)
        self.record.reproducible = (
            caps.episode_seeds
            and caps.deterministic
            and self.job.rollout.episodes is not None
            and (not self._earlier or self.record.reproducible)
        )
        if says_nothing_of_its_episodes(self.policy):
            name = policy_name(self.policy)
            self._not_reproducible(f"the class {name} does not declare reproducible = True")
        self.record.reproducible &= self.policy.reproducible
        if self.job.rollout.only is not None and not self.record.reproducible:
            self.attempt.note(_OTHER_NUMBERS)
        # Episodes that begin alike are taken for one: what they begin with must be known as a whole.
        self.record.deterministic = (
            self.record.reproducible
            and self.policy.deterministic
            and not leaves_out_images(env.single_observation_space)
        )
        if self._gate is not None and not self._earlier:
            self._gate.deterministic = self.record.deterministic
        self.policy.begin(env)
        self.policy.set_task_description(self.job.language_instruction or env.task_description)
        for recorder in self.recorders:
            recorder.start(context)
        self.attempt.open_lines()
        return Loop(context, self.policy, schedule, self._observers, taken)

    def _steps_taken(self) -> np.ndarray | None:
        """Return (N,) how many steps each row took before the run was interrupted."""
        if not self._earlier:
            return None
        taken = np.zeros(self.job.environment.num_envs, np.int64)
        for episode in self._earlier:
            taken[episode.env_idx] = max(taken[episode.env_idx], episode.end_step + 1)
        return taken

    def _identify(self, env: SimEnv) -> None:
        """Note what is evaluated; again after the rollout: a renderer is chosen at its first image."""
        caps = env.capabilities
        self._frames_notice = env.cameras.notice if env.cameras else None
        before = self.record.identity.get("policy", {})
        limit = Deadline(self.job.rollout.timeout, "while its identity was read", self._give_up)
        with foreign_code("the environment or the policy"), limit:
            environment, policy = dict(env.identity), dict(self.policy.identity)
        self.record.identity.update(
            environment=to_plain(environment),
            policy=to_plain(source_identity(type(self.policy)) | policy | self._files),
            horizon=env.max_episode_steps,
            capabilities={name: getattr(caps, name) for name in caps.__slots__},
            cameras=to_plain([*env.cameras.names] if env.cameras else []),
        )
        if self._earlier and changed_source(before, self.record.identity["policy"]):
            self.attempt.note(_OTHER_SOURCE, of="earlier")

    def _max_steps(self) -> int | None:
        __tracebackhide__ = USERS_MISTAKE
        steps = self.job.rollout.steps
        if steps != "policy":
            return steps
        length = self.policy.length()
        if length is None:
            raise EvaluationError(
                f"policy {self.job.policy.type!r} has no length of its own: set rollout.episodes or "
                "rollout.steps (num_episodes or num_steps in an Arena job file)"
            )
        return length

    def _close_recorders(self, failed: BaseException | None = None) -> None:
        """Close every recorder; raises what the first one raises unless the job has *failed* before.

        Each has the job's time for itself: a film that is complete when the time is used up is kept.
        """
        closing, revised = monotonic(), False
        first: BaseException | None = None
        for recorder in self.recorders:
            name = type(recorder).__name__
            try:
                limit = Deadline(self.job.rollout.timeout, f"while {name} was closed", self._give_up)
                with foreign_code(name), limit:
                    left = closed(recorder)
            except Exception as error:
                if failed is None and first is None:
                    first = error
                else:
                    self.attempt.note(f"{name} could not be closed: {type(error).__name__}: {error}")
                continue
            self._take(left)
            revised = revised or left.revised
        self.attempt.close_lines()
        if revised:
            self._revise_episodes()
        # A film that its replay did not give again tells that no episode of the job can be relied on so.
        if any(episode.videos_note for episode in self.attempt.episodes):
            self._not_reproducible("a replay, which was to be filmed, did not give its episode again")
        if self.record.videos:
            if self._frames_notice is not None:
                self.attempt.note(self._frames_notice)
            self.record.terminal_frame = self.record.identity["capabilities"]["terminal_frame"]
        self.attempt.spent("recording_seconds", closing)
        if first is not None:
            raise first

    def _take(self, left: Recorded) -> None:
        record = self.record
        record.videos = sorted({*record.videos, *left.videos})
        record.hdf5_path = left.hdf5_path or record.hdf5_path
        self.attempt.note(*left.notes)
        record.live_films = sorted({*record.live_films, *left.live_films})
        self.environment_failed |= left.environment_failed

    def _add_overview(self) -> None:
        """Put the films of a job together; those of shards when these are joined."""
        if self.job.record.overview and self.job.shard is None and self.record.videos:
            from pytest_arena.recorders.films.overview import add_overview

            add_overview(self.attempt, self.counted)

    def _revise_episodes(self) -> None:
        try:
            self.attempt.rewrite_lines()
        except OSError as error:  # the former lines stand, which lack nothing but films
            self.attempt.note(f"{self.attempt.directory.episodes.name} lacks the paths of films: {error}")
