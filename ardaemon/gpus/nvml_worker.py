"""The process that talks to NVML, so that a driver which hangs or crashes takes nothing else with it.

One JSON line {"id": …, "thorough": bool, "graphics": bool} on stdin asks for one look at all GPUs; one line
on stdout answers: {"id", "driver", "gpus": [fields of GpuReading, …]}, or {"id", "failed": NVML's error} when
NVML as a whole does not work. It ends when stdin does, even in the middle of a call.
"""

import ctypes
import json
import os
import resource
import select
import sys
import threading
from typing import Any

import pynvml

from ardaemon.gpus import nvml_codes as codes

MIB = 1 << 20
EVENTS_MAX = 64  # per look: a GPU that throws errors without end must not hold up the rest


class Failed(Exception):
    """NVML as a whole does not work; its text is NVML's error."""


class Lost(Exception):
    """This GPU is unusable; its text is NVML's error."""


def call(function: str, *arguments: Any) -> tuple[Any, int]:
    """What NVML answers and 0, or None and its error. Raises Failed and Lost."""
    try:
        return getattr(pynvml, function)(*arguments), 0
    except pynvml.NVMLError as error:
        code = int(error.value)
    except (pynvml.NVMLLibraryMismatchError, AttributeError):  # the driver or the binding has no such thing
        code = codes.FUNCTION_NOT_FOUND
    if code in codes.WHOLE:
        raise Failed(codes.name(code))
    if code in codes.LOST:
        raise Lost(codes.name(code))
    return None, code


class Device:
    """One GPU or MIG instance in one look; `never` holds what has been found not to work, over all looks."""

    def __init__(self, handle: Any, facts: dict[str, Any], never: set[tuple[str, Any]]) -> None:
        self.handle = handle
        self.facts = facts
        self.uuid: str = facts["uuid"]
        self.never = never

    def ask(self, ways: codes.Ways) -> Any:
        """The answer by the first way that works here; None where there is none."""
        for function, arguments in ways:
            if (self.uuid, (function, arguments)) in self.never:
                continue
            found, code = call(function, self.handle, *arguments)
            if code not in codes.NEVER:
                if code not in codes.NO_SAMPLE:
                    self.facts["error"] = codes.name(code)
                return found
            self.never.add((self.uuid, (function, arguments)))
        return None

    def memory(self) -> None:
        """Total and used; what cannot be is left out."""
        found = self.ask(codes.MEMORY)
        if found is not None and found.total:
            self.facts["total_mb"] = found.total / MIB
            self.facts["used_mb"] = found.used / MIB if found.used <= found.total else None

    def processes(self, ways: codes.Ways, pid_max: int, graphics: bool) -> None:
        """Add who is on it, and count the entries that cannot be.

        Without a list of those that compute, those that draw are not told either: they are not all.
        """
        found = self.listed(ways, pid_max)
        if found is None or (graphics and "processes" not in self.facts):
            return
        total = self.facts.get("total_mb", float("inf"))
        good = [one for one in found if 0 < one.pid <= pid_max]
        self.facts["refused"] = self.facts.get("refused", 0) + len(found) - len(good)
        self.facts.setdefault("processes", []).extend(
            {"pid": one.pid, "used_mb": megabytes(one.usedGpuMemory, total), "graphics": graphics}
            for one in good
        )

    def listed(self, ways: codes.Ways, pid_max: int) -> Any:
        """The entries; by the older call, for good, where the newer one gives pids that cannot be."""
        found = self.ask(ways)
        if found and ways[1:] and any(not 0 < one.pid <= pid_max for one in found):
            older = self.ask(ways[1:])
            if older and all(0 < one.pid <= pid_max for one in older):
                self.never.add((self.uuid, ways[0]))
                return older
        return found

    def utilisation(self) -> None:
        """Percent of the last moment in which something ran."""
        rates = self.ask(codes.UTILISATION)
        self.facts["utilisation"] = None if rates is None else rates.gpu

    def conditions(self) -> None:
        """Temperature, power, and what slows it down."""
        self.facts["temperature"] = self.ask(codes.TEMPERATURE)
        milliwatts = self.ask(codes.POWER)
        self.facts["power_w"] = None if milliwatts is None else milliwatts / 1000
        self.facts["throttled"] = codes.slowdown(self.ask(codes.THROTTLE) or 0)


class Reader:
    """NVML, once initialised."""

    def __init__(self) -> None:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise Failed(codes.name(int(error.value))) from error
        self.driver: str = call("nvmlSystemGetDriverVersion")[0] or ""
        self.never: set[tuple[str, Any]] = set()
        self.cards: dict[int | None, dict[str, str]] = {}  # by handle: a lost GPU does not say who it is
        self.events: Any = call("nvmlEventSetCreate")[0]

    def look(self, want: dict[str, Any]) -> dict[str, Any]:
        """Everything about every GPU, at this moment."""
        count, code = call("nvmlDeviceGetCount")
        if count is None:
            raise Failed(codes.name(code))
        gpus: list[dict[str, Any]] = []
        position, pid_max = 0, read_pid_max()
        for index in range(count):
            found = self.gpu(index, position, want, pid_max)
            position += bool(found)
            gpus += found
        xids = self.xids()
        for facts in gpus:
            facts["xids"] = xids.get(facts["uuid"], [])
        return {"driver": self.driver, "gpus": gpus}

    def gpu(self, index: int, position: int, want: dict[str, Any], pid_max: int) -> list[dict[str, Any]]:
        """One GPU and its MIG instances.

        Nothing, where this process may not use it: CUDA leaves it out as well, and counts on without it.
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
        except Lost as error:
            for part in (facts, *parts):
                part["fault"] = str(error)
        return [facts, *parts]

    def identify(self, handle: Any) -> int:
        """Who it is goes into `cards`; NVML's error or 0. From then on its critical errors are heard of."""
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
        """All that is wanted of one GPU; its MIG instances go into `parts`."""
        device.memory()
        device.processes(codes.COMPUTE, pid_max, graphics=False)
        device.utilisation()
        if want.get("graphics"):  # takes some milliseconds
            device.processes(codes.GRAPHICS, pid_max, graphics=True)
        if want.get("thorough"):
            device.conditions()
        mode = device.ask(codes.MIG_MODE)
        if mode and mode[0]:
            device.facts["mig"] = True
            self.instances(device, parts, pid_max)

    def instances(self, parent: Device, parts: list[dict[str, Any]], pid_max: int) -> None:
        """Add its MIG instances to `parts`. Heat is of the whole card; NVML has no utilisation of a part."""
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
        """The Xids since the last look, by the GPU's UUID; TIMEOUT says that there are no more."""
        found: dict[str, list[int]] = {}
        try:
            for _ in range(EVENTS_MAX if self.events is not None else 0):
                event, _ = call("nvmlEventSetWait_v2", self.events, 0)
                if event is None:
                    break
                card = self.cards.get(address(event.device), {})
                found.setdefault(card.get("uuid", ""), []).append(int(event.eventData))
        except Lost:
            pass  # the look at that GPU says so too
        return found


def address(handle: Any) -> int | None:
    """What tells one handle from another."""
    return ctypes.cast(handle, ctypes.c_void_p).value


def megabytes(used: int | None, total: float) -> float | None:
    """MiB; None for what NVML does not know or what cannot be."""
    return None if used is None or used / MIB > total else used / MIB


def read_pid_max() -> int:
    """The highest pid that there can be."""
    try:
        with open("/proc/sys/kernel/pid_max", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1 << 22  # the most that Linux can be set to


class Worker:
    """One request after another; a failed initialisation is tried again at the next."""

    reader: Reader | None = None

    def answer(self, want: dict[str, Any]) -> dict[str, Any]:
        """What one request is answered."""
        try:
            self.reader = self.reader or Reader()
            return self.reader.look(want)
        except (Failed, Lost) as error:
            return {"failed": str(error)}
        except Exception as error:  # whatever a binding or driver yet to come does: said, not lost
            return {"failed": f"{type(error).__name__}: {error}"}


def end_with_stdin() -> None:
    """End this process when nobody can ask it any more, though its main thread may never return."""
    poll = select.poll()
    poll.register(0, 0)  # POLLHUP alone, which is always reported
    poll.poll()
    os._exit(0)


def main() -> None:
    """Answer until stdin ends. What a library prints must not get between the answers."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a driver's crash leaves no file in /
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    threading.Thread(target=end_with_stdin, daemon=True).start()
    worker = Worker()
    for line in sys.stdin:
        want = json.loads(line)
        out.write(json.dumps({"id": want.get("id"), **worker.answer(want)}) + "\n")
        out.flush()
    os._exit(0)  # no nvmlShutdown: it may hang, and the kernel lets go of everything
