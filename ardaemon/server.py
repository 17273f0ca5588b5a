"""The Unix socket: one JSON text per line, JSON-RPC 2.0, the owner's uid alone, every queue bounded."""

import logging
import math
import os
import re
import socket
import stat
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import msgspec
from anyio.abc import SocketAttribute
from msgspec import UNSET, Raw, UnsetType

from ardaemon.core import errors
from ardaemon.core.config import (
    BATCH_MAX,
    CONNECTIONS_MAX,
    DEPTH_MAX,
    FRAME_MAX,
    REQUESTS_PER_CONNECTION,
    Config,
)
from ardaemon.core.errors import ArdaemonError, DaemonUnavailable, Incompatible, InternalError, StorageError
from ardaemon.core.protocol import METHODS, PROTOCOL, Params, Request
from ardaemon.host import file_lock, operations

log = logging.getLogger("ardaemon.server")
TOO_LONG = f"a request is longer than {FRAME_MAX} bytes"
READ_CHUNK = 1 << 16
BACKLOG = CONNECTIONS_MAX  # a client with a timeout gets EAGAIN, not a wait, where it is full (connect(2))
ACCEPT_PAUSE_S = 0.1  # after a failed accept(2), as EMFILE: nothing tells when a descriptor is free again

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_BRACKET = re.compile(rb"[\[\]{}]")

Notify = Callable[[str, dict[str, Any]], Awaitable[None]]
Handler = Callable[[Any, Notify], Awaitable[Any]]


def listen(path: Path) -> socket.socket:
    """A listening socket of mode 0600; a stale one is replaced, a living daemon's is not.

    Raises DaemonUnavailable where another daemon listens (one with another state folder), StorageError
    where something else is in the socket's place.
    """
    _claim(path.parent)
    _make_way(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    mask = os.umask(0o177)  # the mode is right from the first moment, before anyone can connect
    try:
        operations.at("bind", path)
        sock.bind(str(path))
    finally:
        os.umask(mask)
    operations.at("listen", path)
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def _claim(folder: Path) -> None:
    """Hold the folder's kernel lock until this process ends: who has it owns the socket in there."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        file_lock.claim(fd)
    except BlockingIOError:
        raise DaemonUnavailable(
            f"another daemon, with another state folder, listens in {folder}",
            "stop that one, or set XDG_RUNTIME_DIR to another folder",
        ) from None


def _make_way(path: Path) -> None:
    """Remove the socket of a daemon that is dead; anything else there is not ours to remove."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise StorageError(f"{path} is in the socket's place, and is no socket", "look at it, and remove it")
    operations.unlink(path)


class Server:
    """Accepts, decodes once, dispatches, encodes."""

    def __init__(
        self, handlers: dict[str, Handler], config: Config, answered: Callable[[], None] = lambda: None
    ) -> None:
        self.handlers, self.config = handlers, config
        self.answered = answered  # called after each answer is sent
        self.connections = 0

    async def serve(self, sock: socket.socket) -> None:
        """Accept until cancelled; out of descriptors is a bad moment, not the end."""
        listener = await anyio.abc.SocketListener.from_socket(sock)
        async with listener, anyio.create_task_group() as tasks:
            while True:
                try:
                    stream = await listener.accept()
                except anyio.BrokenResourceError as error:
                    log.warning("accept failed", extra={"facts": {"why": str(error.__cause__)}})
                    await anyio.sleep(ACCEPT_PAUSE_S)
                    continue
                tasks.start_soon(self._connection, stream)

    async def _connection(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            connection = _Connection(self, stream)
            self.connections += 1
            try:
                refusal = self._refusal(stream)
                if refusal is not None:
                    await connection.send(_error(None, refusal))
                else:
                    await connection.run()
            except* (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, TimeoutError):
                pass  # the client went away; its runs go on
            except* Exception:
                log.exception("connection failed")
            finally:
                self.connections -= 1

    def _refusal(self, stream: anyio.abc.SocketStream) -> ArdaemonError | None:
        raw = stream.extra(SocketAttribute.raw_socket)
        credentials = raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", credentials)
        if uid != os.getuid():
            log.warning("refused", extra={"facts": {"uid": uid, "pid": pid}})
            return errors.Refused("this daemon serves its owner alone", "start your own: arctl daemon start")
        if self.connections > CONNECTIONS_MAX:
            return errors.Overloaded(f"{CONNECTIONS_MAX} connections are open", "close some and try again")
        return None


class _Connection:
    def __init__(self, server: Server, stream: anyio.abc.SocketStream) -> None:
        self.server, self.stream = server, stream
        self.sending = anyio.Lock()
        self.in_flight = 0
        self.gone = False  # the client does not read, or went away

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            try:
                await self._read(tasks)
            finally:
                # The client is gone: its waits end here, its runs do not.
                tasks.cancel_scope.cancel()

    async def _read(self, tasks: anyio.abc.TaskGroup) -> None:
        buffer, begun = bytearray(), 0.0
        patience = self.server.config.request_timeout
        while True:
            fresh = not buffer
            with anyio.CancelScope(deadline=begun + patience if buffer else math.inf) as half:
                buffer += await self.stream.receive(READ_CHUNK)
            if half.cancelled_caught:
                return await self._cut_off(f"a request was begun and not finished in {patience:g} s")
            *lines, rest = bytes(buffer).split(b"\n") if b"\n" in buffer[-READ_CHUNK:] else [bytes(buffer)]
            for line in lines:
                if len(line) > FRAME_MAX:
                    return await self._cut_off(TOO_LONG)
                if line.strip():
                    await self._accept(tasks, line)
                    if len(lines) > 1:  # between the requests of one who floods, others get a turn
                        await anyio.lowlevel.checkpoint()
            if len(rest) > FRAME_MAX:
                return await self._cut_off(TOO_LONG)
            if lines:
                buffer = bytearray(rest)
            if lines or fresh:
                begun = anyio.current_time()  # bytes that trickle in do not put the deadline off

    async def _cut_off(self, why: str) -> None:
        refusal = errors.UsageError(why, "a request is one line of JSON")
        await self.send(_error(None, refusal, errors.INVALID_REQUEST))

    async def _accept(self, tasks: anyio.abc.TaskGroup, line: bytes) -> None:
        if self.in_flight >= REQUESTS_PER_CONNECTION:
            identity = _id_of(line)
            if identity is not UNSET:  # a notification is never answered
                await self.send(_error(identity, _busy()))
            return
        self.in_flight += 1
        tasks.start_soon(self._line, line)

    async def _line(self, line: bytes) -> None:
        try:
            answer = await self._answer(line)
            if answer is not None:
                await self.send(answer)
        finally:
            self.in_flight -= 1
            self.server.answered()

    async def _answer(self, line: bytes) -> bytes | None:
        try:
            _check_depth(line)
            is_batch = line.lstrip()[:1] == b"["
            raws = msgspec.json.decode(line, type=list[Raw]) if is_batch else [Raw(line)]
            for raw in raws:
                msgspec.json.decode(raw)  # all of the line is JSON, or none of it is a request
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _encode_error(None, errors.PARSE_ERROR, f"Parse error: {error}")
        if not is_batch:
            return await self._one(raws[0])
        if not 0 < len(raws) <= BATCH_MAX:
            return _encode_error(
                None, errors.INVALID_REQUEST, f"Invalid Request: a batch has 1 to {BATCH_MAX}"
            )
        if self.in_flight + len(raws) - 1 > REQUESTS_PER_CONNECTION:  # the line itself is counted already
            return _error(None, _busy()) if any(_id_of(raw) is not UNSET for raw in raws) else None
        filled = [answer for answer in await self._batch(raws) if answer is not None]
        return b"[" + b",".join(filled) + b"]" if filled else None

    async def _batch(self, raws: list[Raw]) -> list[bytes | None]:
        """All at once; each counts as a request in flight, so that what one client can ask for is bounded."""
        answers: list[bytes | None] = [None] * len(raws)

        async def fill(at: int, raw: Raw) -> None:
            answers[at] = await self._one(raw)

        self.in_flight += len(raws) - 1
        try:
            async with anyio.create_task_group() as tasks:
                for at, raw in enumerate(raws):
                    tasks.start_soon(fill, at, raw)
        finally:
            self.in_flight -= len(raws) - 1
        return answers

    async def _one(self, raw: Raw) -> bytes | None:
        try:
            request = msgspec.json.decode(raw, type=Request)
        except msgspec.ValidationError as error:
            return _encode_error(None, errors.INVALID_REQUEST, f"Invalid Request: {error}")
        identity = None if request.id is UNSET else request.id
        try:
            result = await self._call(request)
            answer = _result(identity, result)
        except ArdaemonError as error:
            answer = _error(identity, error)
        except anyio.get_cancelled_exc_class():
            raise
        except Exception:
            if self.gone:  # while it was told something: no fault of the handler's
                raise
            log.exception("handler failed", extra={"facts": {"method": request.method}})
            fault = InternalError(f"{request.method} failed inside the daemon", "see: arctl daemon logs")
            answer = _error(identity, fault)
        return None if request.id is UNSET else answer

    async def _call(self, request: Request) -> Any:
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
        params = _params(method.params, request.params)

        async def notify(name: str, facts: dict[str, Any]) -> None:
            await self.send(msgspec.json.encode({"jsonrpc": "2.0", "method": name, "params": facts}))

        return await self.server.handlers[request.method](params, notify)

    async def send(self, data: bytes) -> None:
        """One line; a client that does not read it in time is cut off."""
        async with self.sending:
            operations.at("acknowledge", data)
            try:
                with anyio.fail_after(self.server.config.send_timeout):
                    await self.stream.send(data + b"\n")
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError):
                self.gone = True
                raise


class _MethodNotFound(errors.UsageError):
    code = errors.METHOD_NOT_FOUND


def _params(kind: type[Params], raw: Any) -> Params:
    """Named or positional parameters (JSON-RPC 2.0, section 4.2) as the method's Struct."""
    try:
        value = {} if raw is UNSET else msgspec.json.decode(raw)
        if raw is not UNSET and _NUL.search(raw):
            raise msgspec.ValidationError("a NUL character: no path, name or variable can hold one")
        if isinstance(value, list):
            names = kind.__struct_fields__
            if len(value) > len(names):
                raise msgspec.ValidationError(f"at most {len(names)} positional parameters")
            value = dict(zip(names, value, strict=False))
        if not isinstance(value, dict):
            raise msgspec.ValidationError("params must be an object or an array")
        return msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        raise errors.UsageError(f"Invalid params: {error}", "rpc.discover describes them") from error


def _check_depth(line: bytes) -> None:
    """Refuse deep nesting before a decoder meets it; brackets in strings (as colours' escapes) are text."""
    if line.count(b"[") + line.count(b"{") <= DEPTH_MAX:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", line)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH_MAX:
            raise msgspec.DecodeError(f"nested deeper than {DEPTH_MAX}")


def _busy() -> errors.Overloaded:
    return errors.Overloaded(f"{REQUESTS_PER_CONNECTION} requests are in flight here", "wait for answers")


def _id_of(line: bytes | Raw) -> str | int | float | UnsetType | None:
    """The id to answer to: null where it cannot be told, UNSET for a notification (never answered)."""
    try:
        return msgspec.json.decode(line, type=Request).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _result(identity: Any, result: Any) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "result": result, "id": identity})


def _error(identity: Any, error: ArdaemonError, code: int | None = None) -> bytes:
    wire = error.wire()
    if code is not None:
        wire["code"] = code
    return msgspec.json.encode({"jsonrpc": "2.0", "error": wire, "id": identity})


def _encode_error(identity: Any, code: int, message: str) -> bytes:
    return msgspec.json.encode(
        {"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": identity}
    )
