"""How gymnasium's vector environments are built, and what their rows say of themselves."""

from __future__ import annotations

import inspect
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from pytest_arena.errors import EvaluationError, described, not_among
from pytest_arena.guards.close_within_limit import close_while_building
from pytest_arena.jobs.model import Job
from pytest_arena.simulators.arrays import ARRAY_SPACES, copy_rows
from pytest_arena.simulators.gymnasium.factories import MAKE, Factory
from pytest_arena.simulators.gymnasium.process import NoImage, Raised, raise_as_of_built_rows, serve_row
from pytest_arena.simulators.gymnasium.row import AddedWrapper, check_row

_DECIDED_ELSEWHERE = {
    "id": "environment.id",
    "num_envs": "environment.num_envs",
    "vectorization_mode": "environment.options.vectorization",
    "wrappers": "environment.options.wrappers",
}
_VECTOR_CLASSES: dict[str, type[VectorEnv[Any, Any, Any]]] = {"sync": SyncVectorEnv, "async": AsyncVectorEnv}


class Row(AddedWrapper):
    """One row of a vector environment, whose resets are given `episode_options`.

    A partial reset gives rows ``options={}``, where the first one gives None: an environment that asks for
    None would begin its later episodes in another way than its first.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], *, resets_itself: bool = False) -> None:
        """Wrap *env*; where it *resets_itself* within a step, what it gave last must outlive the reset."""
        super().__init__(env)
        self._resets_itself = resets_itself
        self.episode_options: dict[str, int] = {}
        """Of the episode that begins: a vector environment gives the same options to all its rows."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset; no options are None, always."""
        return self.env.reset(seed=seed, options={**(options or {}), **self.episode_options} or None)

    def step(self, action: Any) -> Any:
        """Step."""
        if not self._resets_itself:  # else the reset may write to what this step gives
            return self.env.step(action)
        observation, reward, terminated, truncated, info = self.env.step(action)
        kept = dict(info) if isinstance(info, dict) else info
        return copy_rows(observation), reward, terminated, truncated, kept


class SampleEnvironment:
    """What the row that gymnasium builds in this process, and closes at once, tells of rows in processes."""

    def __init__(self, closing: float | None) -> None:
        """*closing*: the seconds that building has in all; None: no limit."""
        self.closing, self.process = closing, os.getpid()
        self.step_dt = 0.0
        self.max_episode_steps: int | None = None
        self.problem: Raised | None = None
        """What its close raised."""


class SampleRow(AddedWrapper):
    """A row that may be the *sample*: what its close raises, or that it hangs, costs no job."""

    def __init__(
        self, env: gymnasium.Env[Any, Any], *, sample: SampleEnvironment, shared_memory: bool
    ) -> None:
        """Wrap *env*; raises `UnsharedError`, before processes start, if it cannot have *shared_memory*."""
        super().__init__(env)
        self._sample = sample if os.getpid() == sample.process else None
        if self._sample is None:
            return
        sample.step_dt, sample.max_episode_steps = _length_of(env.unwrapped), step_limit(env)
        if shared_memory and not shares_memory(env.observation_space):
            self.close()
            raise UnsharedError(env.observation_space)

    def close(self) -> None:
        """Close the environment."""
        if self._sample is None:
            self.env.close()
        elif (error := close_while_building(self._sample.closing, self.env.close)) is not None:
            self._sample.problem = Raised.of(0, error)


class UnsharedError(Exception):
    """Memory that processes share cannot hold observations of this space."""


def check_make_arguments(job: Job, arguments: Mapping[str, Any]) -> None:
    """Raise `JobFileError` for one of the *arguments* of `gymnasium.make` that is decided elsewhere."""
    for name, key in _DECIDED_ELSEWHERE.items():
        if name in arguments:
            raise job.problem((*MAKE, name), f"is no argument here: set {key}")


def check_vector_arguments(job: Job, arguments: Mapping[str, Any], vectorization: str) -> None:
    """Raise `JobFileError` for arguments of the vector environment that would be dropped.

    Args:
        job: The job that has them; errors name its file.
        arguments: Its ``environment.options.make``, of which ``vector_kwargs`` is looked at.
        vectorization: How its rows are run: ``sync``, ``async`` or ``vector_entry_point``.

    Raises:
        JobFileError: One of them cannot be given there.
    """
    if "vector_kwargs" not in arguments:
        return
    given, place = arguments["vector_kwargs"], (*MAKE, "vector_kwargs")
    if not isinstance(given, dict):
        raise job.problem(place, f"expected a mapping, got {given!r}")
    if vectorization not in _VECTOR_CLASSES:
        raise job.problem(
            place, "are arguments of the vectorizations sync and async; make's own go to vector_entry_point"
        )
    context, contexts = given.get("context"), multiprocessing.get_all_start_methods()
    if context is not None and context not in contexts:
        raise job.problem((*place, "context"), f"expected one of {', '.join(contexts)}, got {context!r}")
    known = [*inspect.signature(_VECTOR_CLASSES[vectorization].__init__).parameters][2:]
    for name in given:
        if name == "autoreset_mode":
            raise job.problem((*place, name), "is no argument here: set environment.options.autoreset")
        if name in ("worker", "observation_mode"):
            raise job.problem((*place, name), "cannot be said in a job file: its values are Python objects")
        if name not in known:
            cls = _VECTOR_CLASSES[vectorization].__name__
            raise job.problem((*place, str(name)), f"{cls} has no such argument{not_among(name, known, '')}")


def make_vector(
    source: str | Factory,
    num_envs: int,
    vectorization: str,
    autoreset: AutoresetMode,
    arguments: Mapping[str, Any],
    wrappers: Sequence[Callable[[Any], Any]] = (),
    success_keys: Sequence[str] = (),
    sample: SampleEnvironment | None = None,
) -> VectorEnv[Any, Any, Any]:
    """Build the vector environment.

    Args:
        source: Gymnasium's id, with or without the module that registers it, or a function that makes a row.
        num_envs: The number of rows.
        vectorization: ``sync``, ``async``, or ``vector_entry_point`` for the package's own class.
        autoreset: Who resets a row that ended; the package's own class decides that itself.
        arguments: Those of `gymnasium.make_vec` or of the function, with ``vector_kwargs`` and
            ``max_episode_steps`` among them. They are not changed.
        wrappers: Each is called with the environment of a row, in their order.
        success_keys: The keys of an info under which success may stand. Rows of processes are checked with
            them from now on; who adapts rows of this process checks those.
        sample: What rows of processes have in common is written to it; None: nobody reads that.

    Returns:
        The vector environment, not reset yet.

    Raises:
        EvaluationError: The package's own class is no vector environment, ``shared_memory`` cannot hold the
            observations, or the process of a row ended.
        Exception: What gymnasium or the environment raises.
    """
    arguments = dict(arguments)
    if vectorization not in _VECTOR_CLASSES and isinstance(source, str):
        return _own_vector(source, num_envs, vectorization, arguments)
    given = {"autoreset_mode": autoreset, **arguments.pop("vector_kwargs", {})}
    row = partial(Row, resets_itself=autoreset == AutoresetMode.SAME_STEP)

    def build(last: Sequence[Any], **more: Any) -> VectorEnv[Any, Any, Any]:
        return _of_rows(source, num_envs, vectorization, arguments, [*wrappers, *last], {**given, **more})

    if vectorization == "sync":
        return build([row])
    sample = sample or SampleEnvironment(None)

    def build_processes(shared_memory: bool) -> VectorEnv[Any, Any, Any]:
        checked = partial(check_row, success_keys=success_keys)
        last = partial(SampleRow, sample=sample, shared_memory=shared_memory)
        try:
            return build([checked, row, last], worker=serve_row, shared_memory=shared_memory)
        except Exception as error:
            raise_as_of_built_rows(error)
            raise

    env_id = source if isinstance(source, str) else source.env_id
    return _shared_if_possible(build_processes, env_id, given.get("shared_memory"))


def vector_of(rows: Sequence[gymnasium.Env[Any, Any]]) -> SyncVectorEnv:
    """Return a vector environment of *rows* that are made already, each of which is reset on request."""
    return SyncVectorEnv([partial(Row, row) for row in rows], autoreset_mode=AutoresetMode.DISABLED)


def _of_rows(
    source: str | Factory,
    num_envs: int,
    vectorization: str,
    arguments: Mapping[str, Any],
    wrappers: Sequence[Callable[[Any], Any]],
    vector_kwargs: Mapping[str, Any],
) -> VectorEnv[Any, Any, Any]:
    """Build the vector environment of single ones, each with *wrappers* around it."""
    if isinstance(source, str):
        return gymnasium.make_vec(
            source,
            num_envs,
            vectorization_mode=vectorization,
            vector_kwargs=dict(vector_kwargs),
            wrappers=wrappers,
            **arguments,
        )
    own = {name: value for name, value in arguments.items() if name != "max_episode_steps"}

    def row() -> Any:
        env: Any = source.make_row(own, arguments.get("max_episode_steps"))
        for wrapper in wrappers:
            env = wrapper(env)
        return env

    cls: Any = _VECTOR_CLASSES[vectorization]
    vec: VectorEnv[Any, Any, Any] = cls([row] * num_envs, **vector_kwargs)
    vec.spec = EnvSpec(source.env_id)
    return vec


def _shared_if_possible(
    build: Callable[[bool], VectorEnv[Any, Any, Any]], env_id: str, wanted: bool | None
) -> VectorEnv[Any, Any, Any]:
    """Build with shared memory, unless it is not *wanted*; where None was said, without if it cannot be."""
    try:
        return build(True if wanted is None else wanted)
    except UnsharedError as error:
        if wanted is None:
            return build(False)
        raise EvaluationError(
            f"environment {env_id}: shared_memory cannot hold observations of {error}: leave it out of "
            "vector_kwargs"
        ) from None


def _own_vector(
    env_id: str, num_envs: int, vectorization: str, arguments: Mapping[str, Any]
) -> VectorEnv[Any, Any, Any]:
    try:
        return gymnasium.make_vec(env_id, num_envs, vectorization_mode=vectorization, **arguments)
    except AttributeError as error:
        if error.name != "unwrapped":  # what gymnasium asks for first of all
            raise
        raise EvaluationError(
            f"environment {env_id}: its vector_entry_point gave {described(error.obj)}, expected a "
            "gymnasium.vector.VectorEnv"
        ) from error


def batch_of_images(images: Sequence[Any]) -> NDArray[Any]:
    """Return the rows' own images as one array; what are none, or not alike, in one of objects.

    Raises RuntimeError for a row that could not be rendered.
    """
    for image in images:
        if isinstance(image, NoImage):
            raise RuntimeError(image.reason)
    alike = {(image.shape, image.dtype) if isinstance(image, np.ndarray) else None for image in images}
    if len(alike) == 1 and None not in alike:
        return np.stack(images)
    batch = np.empty(len(images), object)
    for row, image in enumerate(images):
        batch[row] = copy_rows(image)
    return batch


def shares_memory(space: gymnasium.Space[Any]) -> bool:
    """Whether observations of *space* are right in memory that processes share.

    Gymnasium reads texts and choices out of it once, when the environment is made, and never again.
    """
    if isinstance(space, (gymnasium.spaces.Dict, gymnasium.spaces.Tuple)):
        parts = space.spaces.values() if isinstance(space, gymnasium.spaces.Dict) else space.spaces
        return all(map(shares_memory, parts))
    return isinstance(space, ARRAY_SPACES)


def step_limit(env: Any) -> int | None:
    """Return after how many steps *env*, or a vector environment, truncates; None: it does not say."""
    steps = getattr(getattr(env, "spec", None), "max_episode_steps", None)
    return None if steps is None else int(steps)


def step_length(base: VectorEnv[Any, Any, Any]) -> float:
    """Return how long a step of *base* is, in seconds: `dt`, else one frame of `render_fps`; 0.0: unknown."""
    return _length_of(base.envs[0].unwrapped if isinstance(base, SyncVectorEnv) else base)


def _length_of(env: Any) -> float:
    dt = _positive(_attribute(env, "dt"))
    if dt is not None:
        return dt
    metadata = _attribute(env, "metadata")
    fps = _positive(metadata.get("render_fps")) if isinstance(metadata, Mapping) else None
    return 0.0 if fps is None else 1.0 / fps


def _attribute(env: Any, name: str) -> Any:
    try:
        return getattr(env, name, None)
    except Exception:  # a property may need what only a reset brings; films then go by something else
        return None


def _positive(number: Any) -> float | None:
    """Return *number* if it is one, above zero and of a size that a clock could show; else None."""
    if isinstance(number, np.ndarray) and number.ndim == 0:
        number = number[()]
    if isinstance(number, bool) or not isinstance(number, Real):
        return None
    try:
        found = float(number)
    except OverflowError:  # an integer of hundreds of digits
        return None
    return found if 1e-9 < found < 1e9 else None
