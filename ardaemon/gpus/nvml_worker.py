"""The process that calls NVML, so that a driver which hangs or crashes takes nothing else with it.

One JSON line {"id": …, "thorough": bool, "graphics": bool} on stdin asks for one look at all GPUs. One
line on stdout answers: {"id", "driver", "gpus": [fields of GpuReading, …], "cpu_s"}, or {"id", "failed":
NVML's error, "cpu_s"} if NVML as a whole does not work. The process ends when stdin does, even in the middle
of a call.
"""

import ctypes
import json
import os
import resource
import select
import sys
import threading
import time
from typing import Any

import pynvml

from ardaemon.gpus import nvml_codes as codes

MIB = 1 << 20
EVENTS_MAX = 64  # per look: a GPU that reports errors without end must not hold up the rest
# Between two questions whether a GPU is in MIG mode: the answer takes a third of a look's time on an H200,
# and the mode cannot change while somebody computes on the GPU.
MIG_EVERY_S = 5.0


class NvmlFailed(Exception):
    """NVML as a whole does not work; the exception's text is NVML's error."""


class GpuLost(Exception):
    """This GPU is unusable; the exception's text is NVML's error."""


def call(function: str, *arguments: Any) -> tuple[Any, int]:
    """Call NVML, and return (value, 0) or (None, NVML's error). Raises NvmlFailed and GpuLost."""
    try:
        return getattr(pynvml, function)(*arguments), 0
    except pynvml.NVMLError as error:
        code = int(error.value)
    except (
        pynvml.NVMLLibraryMismatchError,
        AttributeError,
    ):  # the driver or the binding has no such function
        code = codes.FUNCTION_NOT_FOUND
    if code in codes.WHOLE:
        raise NvmlFailed(codes.name(code))
    if code in codes.LOST:
        raise GpuLost(codes.name(code))
    return None, code


class Device:
    """One GPU or MIG instance in one look: puts the fields of its GpuReading into `facts`.

    `never` holds the functions that do not work here, each with the UUID. It is kept over all looks.
    """

    def __init__(self, handle: Any, facts: dict[str, Any], never: set[tuple[str, Any]]) -> None:
        self.handle = handle
        self.facts = facts
        self.uuid: str = facts["uuid"]
        self.never = never

    def ask(self, ways: codes.Ways) -> Any:
        """Return the value by the first way that works here; None if none does."""
        for function, arguments in ways:
            if (self.uuid, (function, arguments)) in self.never:
                continue
            value, code = call(function, self.handle, *arguments)
            if code not in codes.NEVER:
                if code not in codes.NO_SAMPLE:
                    self.facts["error"] = codes.name(code)
                return value
            self.never.add((self.uuid, (function, arguments)))
        return None

    def memory(self) -> None:
        """Read total and used memory; an impossible value is left out."""
        memory = self.ask(codes.MEMORY)
        if memory is not None and memory.total:
            self.facts["total_mb"] = memory.total / MIB
            self.facts["used_mb"] = memory.used / MIB if memory.used <= memory.total else None

    def processes(self, ways: codes.Ways, pid_max: int, graphics: bool) -> None:
        """Add the processes on it, and count the entries whose pid cannot exist.

        Without a list of compute processes the graphics processes are left out too: they would look like all
        of them.
        """
        entries = self.listed(ways, pid_max)
        if entries is None or (graphics and "processes" not in self.facts):
            return
        total = self.facts.get("total_mb", float("inf"))
        good = [one for one in entries if 0 < one.pid <= pid_max]
        self.facts["refused"] = self.facts.get("refused", 0) + len(entries) - len(good)
        self.facts.setdefault("processes", []).extend(
            {"pid": one.pid, "used_mb": megabytes(one.usedGpuMemory, total), "graphics": graphics}
            for one in good
        )

    def listed(self, ways: codes.Ways, pid_max: int) -> Any:
        """Return NVML's entries for processes.

        If the newer function gives pids that cannot exist and the older one does not, the older one is used
        for good.
        """
        entries = self.ask(ways)
        if entries and ways[1:] and any(not 0 < one.pid <= pid_max for one in entries):
            older = self.ask(ways[1:])
            if older and all(0 < one.pid <= pid_max for one in older):
                self.never.add((self.uuid, ways[0]))
                return older
        return entries

    def utilisation(self) -> None:
        """Read the utilisation: the percentage of the last moment in which something ran."""
        rates = self.ask(codes.UTILISATION)
        self.facts["utilisation"] = None if rates is None else rates.gpu

    def conditions(self) -> None:
        """Read temperature, power and throttling."""
        self.facts["temperature"] = self.ask(codes.TEMPERATURE)
        milliwatts = self.ask(codes.POWER)
        self.facts["power_w"] = None if milliwatts is None else milliwatts / 1000
        self.facts["throttled"] = codes.slowdown(self.ask(codes.THROTTLE) or 0)


class Reader:
    """Reads all GPUs; NVML is initialised with it."""

    def __init__(self) -> None:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NvmlFailed(codes.name(int(error.value))) from error
        self.driver: str = call("nvmlSystemGetDriverVersion")[0] or ""
        self.never: set[tuple[str, Any]] = set()
        self.cards: dict[int | None, dict[str, str]] = {}  # by handle: a lost GPU does not tell its UUID
        self.events: Any = call("nvmlEventSetCreate")[0]
        self.mig: dict[
            str, tuple[float, bool]
        ] = {}  # by UUID: when it was asked, and whether it is in MIG mode

    def look(self, want: dict[str, Any]) -> dict[str, Any]:
        """Read everything that is wanted about every GPU, at this moment."""
        count, code = call("nvmlDeviceGetCount")
        if count is None:
            raise NvmlFailed(codes.name(code))
        gpus: list[dict[str, Any]] = []
        position, pid_max = 0, read_pid_max()
        for index in range(count):
            parts = self.gpu(index, position, want, pid_max)
            position += bool(parts)
            gpus += parts
        xids = self.xids()
        for facts in gpus:
            facts["xids"] = xids.get(facts["uuid"], [])
        return {"driver": self.driver, "gpus": gpus}

    def gpu(self, index: int, position: int, want: dict[str, Any], pid_max: int) -> list[dict[str, Any]]:
        """Read one GPU and its MIG instances; `position` is its index among the GPUs that may be used.

        Return an empty list if this process may not use it: CUDA leaves it out as well, and counts on without
        it.
        """
        facts: dict[str, Any] = {"uuid": "", "index": position}
        parts: list[dict[str, Any]] = []
        try:
            handle, code = call("nvmlDeviceGetHandleByIndex", index)
            if code == codes.NO_PERMISSION:
                return []
            if handle is not None:
                code = self.identify(handle)
            if code:
                return [{**facts, "error": codes.name(code)}]
            facts.update(self.cards[address(handle)])
            self.measure(Device(handle, facts, self.never), parts, want, pid_max)
        except GpuLost as error:
            for part in (facts, *parts):
                part["fault"] = str(error)
        return [facts, *parts]

    def identify(self, handle: Any) -> int:
        """Put UUID and name into `cards`, have NVML report critical errors, and return 0 or NVML's error."""
        if address(handle) in self.cards:
            return 0
        uuid, code = call("nvmlDeviceGetUUID", handle)
        if uuid is None:
            return code or codes.NO_DATA
        device = Device(handle, {"uuid": uuid}, self.never)
        self.cards[address(handle)] = {"uuid": uuid, "name": device.ask(codes.NAME) or ""}
        if self.events is not None and (device.ask(codes.EVENT_TYPES) or 0) & codes.XID_CRITICAL:
            call("nvmlDeviceRegisterEvents", handle, codes.XID_CRITICAL, self.events)
        return 0

    def measure(
        self, device: Device, parts: list[dict[str, Any]], want: dict[str, Any], pid_max: int
    ) -> None:
        """Read all that is wanted of one GPU; its MIG instances go into `parts`."""
        device.memory()
        device.processes(codes.COMPUTE, pid_max, graphics=False)
        device.utilisation()
        if want.get("graphics"):  # slow: it takes some milliseconds
            device.processes(codes.GRAPHICS, pid_max, graphics=True)
        if want.get("thorough"):
            device.conditions()
        if self.in_mig_mode(device):
            device.facts["mig"] = True
            self.instances(device, parts, pid_max)

    def in_mig_mode(self, device: Device) -> bool:
        """Return whether the GPU is in MIG mode, or was MIG_EVERY_S ago at most."""
        now = time.monotonic()
        asked, enabled = self.mig.get(device.uuid, (float("-inf"), False))
        if now - asked >= MIG_EVERY_S:
            mode = device.ask(codes.MIG_MODE)
            enabled = bool(mode and mode[0])
            self.mig[device.uuid] = now, enabled
        return enabled

    def instances(self, parent: Device, parts: list[dict[str, Any]], pid_max: int) -> None:
        """Add the GPU's MIG instances to `parts`.

        Temperature and throttling are those of the whole GPU; NVML has no utilisation of an instance.
        """
        count, _ = call("nvmlDeviceGetMaxMigDeviceCount", parent.handle)
        for number in range(count or 0):
            handle, _ = call("nvmlDeviceGetMigDeviceHandleByIndex", parent.handle, number)
            uuid = None if handle is None else call("nvmlDeviceGetUUID", handle)[0]
            if uuid is None:
                continue  # not every number is taken
            shared = {fact: parent.facts.get(fact) for fact in ("index", "temperature", "throttled")}
            device = Device(handle, {"uuid": uuid, "parent": parent.uuid, **shared}, self.never)
            parts.append(device.facts)
            device.facts["name"] = device.ask(codes.NAME) or ""
            device.memory()
            device.processes(codes.COMPUTE, pid_max, graphics=False)

    def xids(self) -> dict[str, list[int]]:
        """Return the Xids since the last look, by the GPU's UUID.

        NVML answers TIMEOUT if there are no more.
        """
        by_uuid: dict[str, list[int]] = {}
        try:
            for _ in range(EVENTS_MAX if self.events is not None else 0):
                event, _ = call("nvmlEventSetWait_v2", self.events, 0)
                if event is None:
                    break
                card = self.cards.get(address(event.device), {})
                by_uuid.setdefault(card.get("uuid", ""), []).append(int(event.eventData))
        except GpuLost:
            pass  # the look at that GPU says so too
        return by_uuid


def address(handle: Any) -> int | None:
    """Return the handle's address, which tells one handle from another."""
    return ctypes.cast(handle, ctypes.c_void_p).value


def megabytes(used: int | None, total: float) -> float | None:
    """Return bytes as MiB; None if NVML does not know them, or if they are more than `total` MiB."""
    return None if used is None or used / MIB > total else used / MIB


def read_pid_max() -> int:
    """Return the highest pid that can exist."""
    try:
        with open("/proc/sys/kernel/pid_max", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1 << 22  # the most that Linux can be set to


class Worker:
    """Answers one request after another. If NVML cannot be initialised, the next request tries again."""

    reader: Reader | None = None

    def answer(self, want: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to one request."""
        try:
            self.reader = self.reader or Reader()
            return self.reader.look(want)
        except (NvmlFailed, GpuLost) as error:
            return {"failed": str(error)}
        except Exception as error:  # whatever a binding or a driver to come does: the daemon must hear of it
            return {"failed": f"{type(error).__name__}: {error}"}


def end_with_stdin() -> None:
    """End this process when stdin ends: its main thread may never return from the driver."""
    poll = select.poll()
    poll.register(0, 0)  # POLLHUP alone, which is always reported
    poll.poll()
    os._exit(0)


def main() -> None:
    """Answer requests until stdin ends.

    Standard output is moved, so that no library prints between the answers.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a driver's crash leaves no file in /
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    threading.Thread(target=end_with_stdin, daemon=True).start()
    worker = Worker()
    for line in sys.stdin:
        want, begun = json.loads(line), time.process_time()
        answer = worker.answer(want)
        cost = time.process_time() - begun
        out.write(json.dumps({"id": want.get("id"), **answer, "cpu_s": cost}) + "\n")
        out.flush()
    os._exit(0)  # without nvmlShutdown: it may hang, and the kernel releases everything anyway
