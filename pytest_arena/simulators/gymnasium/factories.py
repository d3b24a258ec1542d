"""Functions that a job names as ``module:function``: they make the environment of a row, or wrap it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import TimeLimit
from pydantic import BeforeValidator, Field

from pytest_arena.errors import EvaluationError, described, did_you_mean, not_among
from pytest_arena.jobs.messages import KeyPath
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import StrictModel
from pytest_arena.jobs.user_modules import import_for

ID: KeyPath = ("environment", "id")
MAKE: KeyPath = ("environment", "options", "make")
WRAPPERS: KeyPath = ("environment", "options", "wrappers")


class WrapperOption(StrictModel):
    """A wrapper that a job puts around each row."""

    name: str = Field(alias="class", description="module:Class of a gymnasium.Wrapper, or module:function")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="its arguments beside the environment")

    def wrap(self, env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
        """Return *env* with the wrapper around it; `EvaluationError` where that is no environment."""
        module, _, name = self.name.partition(":")
        wrapped: Any = getattr(importlib.import_module(module), name)(env, **self.kwargs)
        if not isinstance(wrapped, gymnasium.Env):
            raise EvaluationError(
                f"environment.options.wrappers: {self.name!r} gave {described(wrapped)}, expected a "
                "gymnasium.Wrapper"
            )
        return wrapped


def _class_alone(value: Any) -> Any:
    return {"class": value} if isinstance(value, str) else value


WrapperChoice = Annotated[WrapperOption, BeforeValidator(_class_alone)]
"""In a job file: ``module:Class`` alone, or with arguments."""


@dataclass(frozen=True, slots=True)
class Factory:
    """A function of the job's own that makes the environment of a row."""

    env_id: str
    """As the job names it, ``module:function``."""
    function: Callable[..., Any]

    @property
    def takes_render_mode(self) -> bool:
        """Whether it has an argument ``render_mode``, or takes any."""
        parameters = _parameters(self.function)
        return parameters is None or "render_mode" in parameters or _takes_any(parameters)

    def make_row(
        self, arguments: Mapping[str, Any], max_episode_steps: int | None
    ) -> gymnasium.Env[Any, Any]:
        """Make the environment of one row.

        Args:
            arguments: Of the function.
            max_episode_steps: After how many steps an episode is truncated; None: as the function has it.

        Returns:
            The environment, which truncates its episodes after so many steps.

        Raises:
            EvaluationError: What the function returned is no environment.
            Exception: What the function raises.
        """
        env: Any = self.function(**arguments)
        inner: Any = getattr(env, "unwrapped", None)
        for found, what in ((env, "returned"), (inner, "returned what has as its unwrapped")):
            if not isinstance(found, gymnasium.Env):
                raise EvaluationError(
                    f"environment.id: {self.env_id!r} {what} {described(found)}, expected a gymnasium.Env"
                )
        if inner.spec is None:
            inner.spec = EnvSpec(self.env_id)
        return env if max_episode_steps is None else TimeLimit(env, max_episode_steps)


def factory_of(env_id: str) -> Factory | None:
    """Return the function that an id names; None for an id of gymnasium's registry, which may be unknown.

    *env_id* is ``module:name``, and the module has been imported. A name that is registered word for word is
    that environment.
    """
    module, _, name = env_id.rpartition(":")
    if not module or not name.isidentifier() or name in gymnasium.registry:
        return None
    function = getattr(importlib.import_module(module), name, None)
    return Factory(env_id, function) if callable(function) else None


def find_environment(job: Job) -> Factory | None:
    """Import the module that the job's ``environment.id`` names; return the function, if it is one's name.

    Raises `JobFileError` where the id leads to nothing.
    """
    module, _, name = job.environment.id.rpartition(":")
    if module:
        import_for(job, ID, module)
    if (factory := factory_of(job.environment.id)) is not None:
        return factory
    try:
        gymnasium.spec(name)
    except gymnasium.error.Error as error:
        text = str(error).splitlines()[0]
        if module and name.isidentifier():
            known = [key for key, value in vars(importlib.import_module(module)).items() if callable(value)]
            text = (
                f"the module {module!r} has no function {name!r}{did_you_mean(name, known)}, and gymnasium "
                "knows no environment of this name"
            )
        raise job.problem(ID, text) from None
    return None


def check_factory(job: Job, factory: Factory, arguments: Mapping[str, Any]) -> None:
    """Check the arguments of a function that makes rows.

    Args:
        job: The job that names it.
        factory: The function.
        arguments: The job's ``environment.options.make``.

    Raises:
        JobFileError: The function does not take one of them, or needs another one.
    """
    given = {name: value for name, value in arguments.items() if name != "vector_kwargs"}
    _check_call(job, MAKE, factory.env_id, factory.function, given)


def check_wrappers(job: Job, wrappers: Sequence[WrapperOption]) -> None:
    """Import the *wrappers* of *job*; raises `JobFileError` for one that is not there, or not so called."""
    for index, wrapper in enumerate(wrappers):
        key = (*WRAPPERS, index)
        module, _, name = wrapper.name.partition(":")
        if not (module and name.isidentifier()):
            raise job.problem(key, f"expected module:Class, got {wrapper.name!r}")
        held = import_for(job, key, module)
        function = getattr(held, name, None)
        if not callable(function):
            hint = did_you_mean(name, [key for key, value in vars(held).items() if callable(value)])
            raise job.problem(key, f"the module {module!r} has no class or function {name!r}{hint}")
        _check_call(job, (*key, "kwargs"), wrapper.name, function, wrapper.kwargs, 1)


def _check_call(
    job: Job,
    key: KeyPath,
    name: str,
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    positional: int = 0,
) -> None:
    parameters = _parameters(function)
    if parameters is None:
        return
    for argument in arguments:
        if argument not in parameters and not _takes_any(parameters):
            hint = not_among(argument, list(parameters)[positional:], "it takes none")
            raise job.problem((*key, argument), f"{name!r} has no such argument{hint}")
    try:
        inspect.signature(function).bind(*[None] * positional, **arguments)
    except TypeError as error:
        raise job.problem(key, f"{name!r}: {error}") from None


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """Return the parameters of *function*; None where nothing tells them."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None


def _takes_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
