"""What the policies of all protocols share: deadlines, one stream a row, the rows' requests in parallel."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from abc import abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
from pydantic import Field

from pytest_arena.errors import EvaluationError, MissingDependencyError, described
from pytest_arena.jobs.model import Job
from pytest_arena.policies.chunks import ChunkedPolicy, ChunkSettings, PlanError
from pytest_arena.policies.servers.event_loop import BackgroundLoop
from pytest_arena.policies.servers.serve import LocalServer, Serve, ServeSetting, local_server
from pytest_arena.policies.servers.streams import ConnectionLostError, ServerError, Stream, words
from pytest_arena.records.schema import Episode
from pytest_arena.records.to_plain import to_plain
from pytest_arena.simulators.array_types import IndexArray
from pytest_arena.simulators.base import SimEnv

RETRY_SECONDS = 0.1
"""Between two attempts to connect to a server that is not there yet."""
MOST_NUMBERS = 64
"""Of an array in a server's description of itself that are kept in the record."""


class ServerSettings(ChunkSettings):
    """Settings of every policy that runs in a server."""

    address: str | None = Field(
        default=None, min_length=1, description="of the server; default: this machine, with serve"
    )
    timeout: float = Field(
        default=30.0,
        gt=0,
        le=86400,
        description="seconds that an answer may take: then the episode is an error",
    )
    connect_timeout: float = Field(
        default=10.0, gt=0, le=86400, description="seconds until the server must have been reached"
    )
    reproducible: bool = Field(
        default=False,
        description="an answer depends on that row's own requests alone: the server draws no random numbers",
    )
    serve: ServeSetting | None = Field(
        default=None, description="command that starts the server; {port} in it becomes a free port"
    )


class ServerPolicy(ChunkedPolicy):
    """Asks a server for the plans of the rows that need one, all at the same time.

    What a server says wrong, or does not say in time, is the error of that row's episode. A server that
    cannot be reached when an episode begins ends the job.
    """

    Settings = ServerSettings
    name: ClassVar[str]
    """In job files."""
    extra: ClassVar[str]
    """Of this package: it installs what the policy needs."""
    packages: ClassVar[tuple[str, ...]]
    """That it imports, beside those of every policy."""
    schemes: ClassVar[tuple[str, ...]]
    """That an address may begin with; a server that is started here has the first one."""
    health: ClassVar[str | None] = None
    """Path that the protocol's servers answer once they are ready; None: they are when their port is open."""

    def __init__(self, settings: ServerSettings, env: SimEnv) -> None:
        """Start the server where ``serve`` says so, connect, and read what the server says of itself.

        Raises:
            EvaluationError: It cannot be started or reached, or does not fit the settings.
            MissingDependencyError: A package is not installed.
        """
        require_packages(self.name, self.packages, self.extra)
        super().__init__(settings, env)
        self.settings = settings
        self.reproducible = settings.reproducible
        self._served: LocalServer | None = None
        if settings.serve is not None:
            self._served = local_server(settings.serve, settings.address, self.health)
        self.address = address_of(settings, self.schemes, self._served)
        self.metadata: Mapping[str, Any] = {}
        """What the server says of itself."""
        self._changed = False  # whether it says something else on a later connection
        self._failures: dict[int, str] = {}  # rows whose server refused to begin their episode
        self._loop = BackgroundLoop()
        self._streams = [self.stream(row) for row in range(env.num_envs)]
        try:
            self.metadata = self._loop.run(self._open(0))
            self.check_server()
        except BaseException:
            self.close()
            raise

    @classmethod
    def check(cls, settings: Any, job: Job) -> None:
        """Check the address, and that there is one."""
        super().check(settings, job)
        if settings.address is None and settings.serve is None:
            raise job.problem(
                ("policy",),
                f"expected the address of a server, e.g. address: {cls.schemes[0]}://localhost:8000",
            )
        if settings.address is not None and (wrong := address_problem(settings.address, cls.schemes)):
            raise job.problem(("policy", "address"), wrong)
        serve: Serve | None = settings.serve
        port = None if settings.address is None else urlsplit(settings.address.replace("{port}", "1")).port
        if serve is not None and "{port}" not in serve.command and port is None:
            expected = "expected {port} in the command, or policy.address with the port that the server has"
            raise job.problem(("policy", "serve"), expected)

    @abstractmethod
    def stream(self, row: int) -> Stream:
        """Return the stream of *row*, which is not open yet."""

    def check_server(self) -> None:
        """Raise `EvaluationError` where ``metadata`` says that the settings cannot be right."""

    def plan(self, rows: IndexArray, inputs: Mapping[str, Any]) -> Sequence[Any]:
        """Return each row's answer, or a `PlanError` with the server's words."""
        each = [{name: value[index] for name, value in inputs.items()} for index in range(len(rows))]
        asked = (self._ask(row, one) for row, one in zip(rows.tolist(), each, strict=True))
        return self._loop.run(_together(asked))

    def forget(self, rows: IndexArray, seeds: Sequence[int]) -> None:
        """Begin the episodes of *rows* on the server; connect anew where a connection has ended.

        Raises `EvaluationError` where the server cannot be reached.
        """
        self._loop.run(_together(self._begin(row) for row in rows.tolist()))

    def end_episodes(self, env_ids: IndexArray, episodes: Sequence[Episode]) -> None:
        """Tell the server how episodes ended."""
        super().end_episodes(env_ids, episodes)
        ended = zip(np.asarray(env_ids).tolist(), episodes, strict=True)
        self._loop.run(_together(self._end(row, episode) for row, episode in ended))

    @property
    def identity(self) -> Mapping[str, Any]:
        """The address, what the server says of itself, and the command that started it."""
        served = {} if self._served is None else {"serve": self._served.identity}
        return {"address": self.address, "server": summarized(self.metadata), **served}

    def review(self, episodes: Sequence[Episode]) -> list[str]:
        """Say so where the server was not the same, as far as it says, in all episodes."""
        note = f"the server at {self.address} described itself in another way after it was connected anew"
        return [f"{note}: it may have been another model"] if self._changed else []

    def close(self) -> None:
        """Disconnect; a server that was started here goes on, for the jobs that follow."""
        if self._loop.is_closed:
            return
        try:
            self._loop.run(_together(self._close(stream) for stream in self._streams))
        finally:
            self._loop.close()

    async def _open(self, row: int) -> Mapping[str, Any]:
        """Open the row's stream; a server that is not there yet is tried again until the time is up."""
        seconds, reason = self.settings.connect_timeout, "it does not answer"
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        return await self._streams[row].open()
                    except OSError as error:
                        reason = str(error)
                        if self._served is not None and not self._served.is_running:
                            raise ServerError(reason) from None
                        await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            said = f"{reason} (after {seconds:g} s: policy.connect_timeout)"
        except ServerError as error:
            said = str(error)
        self._streams[row].abandon()
        raise EvaluationError(
            f"policy {self.name}: no connection to {self.address} for row {row}: "
            f"{said}{self._about_served()}; see that the server runs, is at this address, and takes one "
            "connection for each row (environment.num_envs)"
        )

    async def _open_again(self, row: int) -> None:
        metadata = await self._open(row)
        self._changed |= to_plain(summarized(metadata)) != to_plain(summarized(self.metadata))

    async def _begin(self, row: int) -> None:
        """Begin an episode of *row*: once more on a new connection, where a kept one has ended."""
        self._failures.pop(row, None)
        stream = self._streams[row]
        kept = stream.usable
        if not kept:
            await self._open_again(row)
        reason = await self._told(stream.begin())
        if isinstance(reason, ConnectionLostError) and kept:
            await self._open_again(row)
            reason = await self._told(stream.begin())
        if reason is not None:
            self._failures[row] = str(reason)
            stream.abandon()

    def failure(self, row: int) -> PlanError | None:
        """Return why the server did not begin the row's episode; None where it did."""
        return PlanError(self._failures[row]) if row in self._failures else None

    async def answer_in_time(self, stream: Stream, asked: Coroutine[Any, Any, Any]) -> Any:
        """Return what *asked*, a request on *stream*, returns; a `PlanError` for a fault of the server.

        Raises `EvaluationError` where the server cannot be asked this.
        """
        try:
            async with asyncio.timeout(self.settings.timeout):
                return await asked
        except TimeoutError:
            problem = self._silence()
        except ServerError as error:
            problem = str(error)
        except ValueError as error:
            raise EvaluationError(f"policy.observation: the server cannot be sent this: {error}") from None
        stream.abandon()
        return PlanError(f"{self.address}: {problem}")

    async def _ask(self, row: int, inputs: Mapping[str, Any]) -> Any:
        stream, failure = self._streams[row], self.failure(row)
        return await self.answer_in_time(stream, stream.ask(inputs)) if failure is None else failure

    async def _end(self, row: int, episode: Episode) -> None:
        stream = self._streams[row]
        if stream.usable and await self._told(stream.end(episode)) is not None:
            stream.abandon()

    async def _told(self, message: Coroutine[Any, Any, None]) -> ServerError | None:
        """Return what went wrong with a *message* to the server."""
        try:
            async with asyncio.timeout(self.settings.timeout):
                await message
        except TimeoutError:
            return ServerError(self._silence())
        except ServerError as error:
            return error
        return None

    async def _close(self, stream: Stream) -> None:
        """Disconnect; from a server that does not answer, too."""
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                await stream.close()
        except TimeoutError:
            stream.abandon()

    def _silence(self) -> str:
        return f"no answer within {self.settings.timeout:g} s (policy.timeout)"

    def _about_served(self) -> str:
        return "" if self._served is None else self._served.about()


async def _together(coroutines: Any) -> list[Any]:
    """Return the results of *coroutines*, run side by side; raises the first error, at the end."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, PlanError):
            raise result
    return results


def require_packages(name: str, packages: Sequence[str], extra: str) -> None:
    """Check that what a policy needs is installed.

    Args:
        name: The policy, in job files.
        packages: What it imports.
        extra: The extra of this package that installs them.

    Raises:
        MissingDependencyError: One of them is not.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(
                f"the policy {name} needs {package}: pip install 'pytest-arena[{extra}]'"
            )


def address_problem(address: str, schemes: Sequence[str]) -> str | None:
    """Return what is wrong with the *address* of a server; None where nothing is."""
    try:
        parts = urlsplit(address.replace("{port}", "1"))
        known = parts.scheme in schemes and parts.hostname is not None and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        forms = " or ".join(f"{scheme}://HOST:PORT" for scheme in schemes)
        return f"expected an address {forms}, got {address!r}"
    if parts.username is not None or parts.password is not None:
        return "expected an address without a user or password, which would be in the record"
    return None


def address_of(settings: ServerSettings, schemes: Sequence[str], served: LocalServer | None) -> str:
    """Return the address of a policy's server.

    Args:
        settings: They may have it.
        schemes: The protocol's, the usual one first.
        served: The server that was started here.

    Returns:
        The address that is set, else that of *served*.
    """
    port = "" if served is None else str(served.port)
    return (settings.address or f"{schemes[0]}://127.0.0.1:{{port}}").replace("{port}", port)


def secret(variable: str | None, setting: str) -> str | None:
    """Return what the environment variable *variable* holds, which the *setting* names.

    Raises `EvaluationError` where it is not set; its content is never in a message or record.
    """
    if variable is None:
        return None
    if not (value := os.environ.get(variable)):
        raise EvaluationError(f"policy.{setting}: the environment variable {variable} is not set")
    return value


def summarized(value: Any) -> Any:
    """Return a server's description of itself for the record: long arrays and bytes become a few words."""
    if isinstance(value, Mapping):
        return {str(key): summarized(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [summarized(part) for part in value]
    if isinstance(value, np.ndarray) and value.size > MOST_NUMBERS:
        return described(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return words(value) if isinstance(value, str) else value
