"""Turns a client's line into calls of handlers and one answer.

Each request is decoded once, each answer encoded once.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import anyio
import msgspec
from msgspec import UNSET, Raw

from ardaemon.core import errors
from ardaemon.core.config import BATCH_MAX, REQUESTS_PER_CONNECTION
from ardaemon.core.errors import ArdaemonError, Incompatible, InternalError
from ardaemon.core.methods import METHODS
from ardaemon.core.protocol import PROTOCOL, Request
from ardaemon.rpc import messages

log = logging.getLogger("ardaemon.rpc")

Notify = Callable[[str, dict[str, Any]], Awaitable[None]]
Handler = Callable[[Any, Notify], Awaitable[Any]]


class Requester(Protocol):
    """The connection on which a request came, as the dispatcher needs it."""

    in_flight: int
    gone: bool

    async def send(self, data: bytes) -> None:
        """Send one line."""


class Dispatcher:
    """Finds the handler of each request, checks the parameters, and answers as JSON-RPC 2.0 wants it."""

    def __init__(self, handlers: dict[str, Handler]) -> None:
        self.handlers = handlers

    async def answer(self, client: Requester, line: bytes) -> bytes | None:
        """Answer one line, a request or a batch; return None if nothing in it wants an answer."""
        try:
            raws, is_batch = messages.split(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return messages.refusal(None, errors.PARSE_ERROR, f"Parse error: {error}")
        if not is_batch:
            return await self._one(client, raws[0])
        if not 0 < len(raws) <= BATCH_MAX:
            why = f"Invalid Request: a batch has 1 to {BATCH_MAX}"
            return messages.refusal(None, errors.INVALID_REQUEST, why)
        if client.in_flight + len(raws) - 1 > REQUESTS_PER_CONNECTION:  # the line itself is counted already
            answered = any(messages.id_of(raw) is not UNSET for raw in raws)
            return messages.error(None, busy()) if answered else None
        filled = [answer for answer in await self._batch(client, raws) if answer is not None]
        return b"[" + b",".join(filled) + b"]" if filled else None

    async def _batch(self, client: Requester, raws: list[Raw]) -> list[bytes | None]:
        """Answer the requests of a batch concurrently.

        Each counts as a request in flight, so that a batch cannot pass the limit per connection.
        """
        answers: list[bytes | None] = [None] * len(raws)

        async def fill(at: int, raw: Raw) -> None:
            answers[at] = await self._one(client, raw)

        client.in_flight += len(raws) - 1
        try:
            async with anyio.create_task_group() as tasks:
                for at, raw in enumerate(raws):
                    tasks.start_soon(fill, at, raw)
        finally:
            client.in_flight -= len(raws) - 1
        return answers

    async def _one(self, client: Requester, raw: Raw) -> bytes | None:
        try:
            request = msgspec.json.decode(raw, type=Request)
        except msgspec.ValidationError as error:
            return messages.refusal(None, errors.INVALID_REQUEST, f"Invalid Request: {error}")
        identity = None if request.id is UNSET else request.id
        try:
            result = await self._call(client, request)
            answer = messages.result(identity, result)
        except ArdaemonError as error:
            answer = messages.error(identity, error)
        except anyio.get_cancelled_exc_class():
            raise
        except Exception:
            if client.gone:  # the handler's notification could not be sent: no fault of the handler's
                raise
            log.exception("handler failed", extra={"facts": {"method": request.method}})
            fault = InternalError(f"{request.method} failed inside the daemon", "see: arctl daemon logs")
            answer = messages.error(identity, fault)
        return None if request.id is UNSET else answer

    async def _call(self, client: Requester, request: Request) -> Any:
        if request.protocol is not UNSET and abs(request.protocol - PROTOCOL) > 1:
            raise Incompatible(
                f"the daemon speaks protocol {PROTOCOL}, this client {request.protocol}",
                "use the arctl that was installed with it, or: arctl daemon restart",
            )
        method = METHODS.get(request.method)
        if method is None:
            raise _MethodNotFound(
                f"Method not found: {request.method[:80]}", "rpc.discover lists the methods"
            )
        params = messages.decode_params(method.params, request.params)

        async def notify(name: str, facts: dict[str, Any]) -> None:
            await client.send(messages.notification(name, facts))

        return await self.handlers[request.method](params, notify)


class _MethodNotFound(errors.UsageError):
    code = errors.METHOD_NOT_FOUND


def busy() -> errors.Overloaded:
    """Return the error for a client that has too many requests in flight."""
    return errors.Overloaded(f"{REQUESTS_PER_CONNECTION} requests are in flight here", "wait for answers")
