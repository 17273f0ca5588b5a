"""Turns a client's line into calls of handlers and one answer.

Each request is decoded once, each answer encoded once.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

import anyio
import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import replace

from ardaemon.core import asides, errors
from ardaemon.core.config import BATCH_MAX, REQUESTS_PER_CONNECTION
from ardaemon.core.errors import ArdaemonError, Incompatible, InternalError
from ardaemon.core.methods import METHODS
from ardaemon.core.protocol import PROTOCOL, Answer, Request
from ardaemon.core.words import TOLD
from ardaemon.rpc import messages

log = logging.getLogger("ardaemon.rpc")

Notify = Callable[[str, dict[str, Any]], Awaitable[None]]
Handler = Callable[[Any, Notify], Awaitable[Any]]


class Requester(Protocol):
    """The connection on which a request came, as the dispatcher needs it."""

    gone: bool

    async def send(self, data: bytes) -> None:
        """Send one line."""


class Call(NamedTuple):
    """A request whose handler is to be called, with its parameters decoded."""

    identity: Any  # UNSET: a notification, which is not answered
    method: str
    params: Any


class Asked(NamedTuple):
    """What a line asks: a call for each request, or at once the answer to what is none (None: it gets none).

    Nothing in here refers to the line, which may be a thousand times as long, while a call waits.
    """

    parts: list[Call | bytes | None]
    is_batch: bool = False

    @property
    def identity(self) -> Any:
        """The id for an error about the whole; null for a batch (JSON-RPC 2.0, section 5)."""
        first = self.parts[0]
        return first.identity if isinstance(first, Call) and not self.is_batch else None


class Dispatcher:
    """Finds the handler of each request, checks the parameters, and answers as JSON-RPC 2.0 wants it."""

    def __init__(self, handlers: dict[str, Handler]) -> None:
        self.handlers = handlers

    def decode(self, in_flight: int, line: bytes) -> Asked:
        """Decode one line, a request or a batch; `in_flight` requests of its client are not answered yet."""
        try:
            raws, is_batch = messages.split(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Asked([messages.refusal(None, errors.PARSE_ERROR, f"Parse error: {error}")])
        if not is_batch:
            return Asked([self._decode(raws[0])])
        if not 0 < len(raws) <= BATCH_MAX:
            why = f"Invalid Request: a batch has 1 to {BATCH_MAX}"
            return Asked([messages.refusal(None, errors.INVALID_REQUEST, why)])
        if in_flight + len(raws) > REQUESTS_PER_CONNECTION:
            answered = any(messages.id_of(raw) is not UNSET for raw in raws)
            return Asked([messages.error(None, busy()) if answered else None])
        return Asked([self._decode(raw) for raw in raws], is_batch=True)

    def _decode(self, raw: Raw) -> Call | bytes | None:
        try:
            request = msgspec.json.decode(raw, type=Request)
        except msgspec.ValidationError as error:
            return messages.refusal(None, errors.INVALID_REQUEST, f"Invalid Request: {error}")
        try:
            return Call(request.id, request.method, _params(request))
        except Exception as error:
            return _answer(request.id, _fault(request.method, error))

    async def answer(self, client: Requester, asked: Asked) -> bytes | None:
        """Answer what a line asks; return None if nothing in it wants an answer.

        A batch's answer, which may be long, is a whole line: a newline added later would copy it.
        """
        if not asked.is_batch:
            return await self._one(client, asked.parts[0])
        filled = [answer for answer in await self._batch(client, asked.parts) if answer is not None]
        return b"[" + b",".join(filled) + b"]\n" if filled else None

    async def _batch(self, client: Requester, parts: list[Call | bytes | None]) -> list[bytes | None]:
        """Answer the requests of a batch concurrently."""
        answers: list[bytes | None] = [None] * len(parts)

        async def fill(at: int, part: Call | bytes | None) -> None:
            answers[at] = await self._one(client, part)

        async with anyio.create_task_group() as tasks:
            for at, part in enumerate(parts):
                tasks.start_soon(fill, at, part)
        return answers

    async def _one(self, client: Requester, part: Call | bytes | None) -> bytes | None:
        if not isinstance(part, Call):
            return part

        async def notify(name: str, facts: dict[str, Any]) -> None:
            await client.send(messages.notification(name, facts))

        try:
            with asides.collected(lambda line: notify(TOLD, {"line": line})) as told:
                result = await self.handlers[part.method](part.params, notify)
            if told and isinstance(result, Answer):
                result = replace(result, warnings=(*result.warnings, *told))
            return _answer(part.identity, result)
        except anyio.get_cancelled_exc_class():
            raise
        except Exception as error:
            if client.gone and not isinstance(error, ArdaemonError):
                raise  # the handler's notification could not be sent: no fault of the handler's
            return _answer(part.identity, _fault(part.method, error))


def _params(request: Request) -> Any:
    """Return the parameters of a request as its method wants them. Raises ArdaemonError."""
    if request.protocol is not UNSET and abs(request.protocol - PROTOCOL) > 1:
        raise Incompatible(
            f"the daemon speaks protocol {PROTOCOL}, this client {request.protocol}",
            "use the arctl that was installed with it, or: arctl daemon restart",
        )
    method = METHODS.get(request.method)
    if method is None:
        raise _MethodNotFound(f"Method not found: {request.method[:80]}", "rpc.discover lists the methods")
    return messages.decode_params(method.params, request.params)


def _fault(method: str, error: Exception) -> ArdaemonError:
    """Return the error for the client; one that is no answer to the client is a fault, and logged."""
    if isinstance(error, ArdaemonError):
        return error
    log.error("handler failed", exc_info=error, extra={"facts": {"method": method}})
    return InternalError(f"{method} failed inside the daemon", "see: arctl daemon logs")


def _answer(identity: Any, value: Any) -> bytes | None:
    """Encode the response to a request; None for a notification, which gets none."""
    if identity is UNSET:
        return None
    if isinstance(value, ArdaemonError):
        return messages.error(identity, value)
    return messages.result(identity, value)


class _MethodNotFound(errors.UsageError):
    code = errors.METHOD_NOT_FOUND


def busy() -> errors.Overloaded:
    """Return the error for a client that has too many requests in flight."""
    return errors.Overloaded(f"{REQUESTS_PER_CONNECTION} requests are in flight here", "wait for answers")
