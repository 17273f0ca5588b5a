"""NVML's numbers and functions (nvml.h), and the meaning of each error. Standard library alone."""

NAMES = dict(
    enumerate(
        "SUCCESS UNINITIALIZED INVALID_ARGUMENT NOT_SUPPORTED NO_PERMISSION ALREADY_INITIALIZED NOT_FOUND"
        " INSUFFICIENT_SIZE INSUFFICIENT_POWER DRIVER_NOT_LOADED TIMEOUT IRQ_ISSUE LIBRARY_NOT_FOUND"
        " FUNCTION_NOT_FOUND CORRUPTED_INFOROM GPU_IS_LOST RESET_REQUIRED OPERATING_SYSTEM"
        " LIB_RM_VERSION_MISMATCH IN_USE MEMORY NO_DATA VGPU_ECC_NOT_SUPPORTED INSUFFICIENT_RESOURCES"
        " FREQ_NOT_SUPPORTED ARGUMENT_VERSION_MISMATCH DEPRECATED NOT_READY GPU_NOT_FOUND"
        " INVALID_STATE".split()
    )
) | {999: "UNKNOWN"}
CODES = {name: code for code, name in NAMES.items()}
FUNCTION_NOT_FOUND = CODES["FUNCTION_NOT_FOUND"]
NO_PERMISSION = CODES["NO_PERMISSION"]
NO_DATA = CODES["NO_DATA"]

# Errors that concern all GPUs: library and driver do not match, or the driver has gone.
WHOLE = {
    CODES[name]
    for name in ("UNINITIALIZED", "DRIVER_NOT_LOADED", "LIBRARY_NOT_FOUND", "LIB_RM_VERSION_MISMATCH")
}
LOST = {CODES[name] for name in ("GPU_IS_LOST", "RESET_REQUIRED", "GPU_NOT_FOUND")}
# Errors that will not change while the process lives: the function is not called again.
NEVER = {
    CODES[name]
    for name in ("NOT_SUPPORTED", "NO_PERMISSION", "FUNCTION_NOT_FOUND", "ARGUMENT_VERSION_MISMATCH")
}
# Answers without a value at this moment. INSUFFICIENT_SIZE: a process came between "how many" and "which".
NO_SAMPLE = {CODES[name] for name in ("SUCCESS", "NOT_FOUND", "NO_DATA", "INSUFFICIENT_SIZE")}

XID_CRITICAL = 8  # nvmlEventTypeXidCriticalError

# Ways to ask for one value: functions and their further arguments, of which the first that works is kept. The
# fan's speed is never asked for: it is slow.
Ways = tuple[tuple[str, tuple[int, ...]], ...]
NAME: Ways = (("nvmlDeviceGetName", ()),)
# The first is version 2, which separates the driver's own reserve; version 1 counts it as used.
MEMORY: Ways = (("nvmlDeviceGetMemoryInfo", (0x02000028,)), ("nvmlDeviceGetMemoryInfo", ()))
COMPUTE: Ways = tuple((f"nvmlDeviceGetComputeRunningProcesses_v{n}", ()) for n in (3, 2))
GRAPHICS: Ways = tuple((f"nvmlDeviceGetGraphicsRunningProcesses_v{n}", ()) for n in (3, 2))
UTILISATION: Ways = (("nvmlDeviceGetUtilizationRates", ()),)
TEMPERATURE: Ways = (("nvmlDeviceGetTemperature", (0,)), ("nvmlDeviceGetTemperatureV", (0,)))  # the chip's
POWER: Ways = (("nvmlDeviceGetPowerUsage", ()),)
THROTTLE: Ways = tuple((f"nvmlDeviceGetCurrentClocks{word}Reasons", ()) for word in ("Event", "Throttle"))
MIG_MODE: Ways = (("nvmlDeviceGetMigMode", ()),)
EVENT_TYPES: Ways = (("nvmlDeviceGetSupportedEventTypes", ()),)

# nvmlClocksThrottleReasons: heat and the power brake. A power cap is no reason: a busy GPU normally runs at
# it.
_SLOWDOWNS = {0x20: "sw_thermal", 0x40: "hw_thermal", 0x80: "power_brake"}
_SLOWDOWN = 0x8  # one of the last two, or something that has no bit of its own


def name(code: int) -> str:
    """Return NVML's word for an error."""
    return NAMES.get(code, f"ERROR_{code}")


def slowdown(reasons: int) -> str | None:
    """Say why the clocks are held down, if heat or the power brake is the reason; else None."""
    words = [word for bit, word in _SLOWDOWNS.items() if reasons & bit]
    return ",".join(words or ["hw_slowdown"] if words or reasons & _SLOWDOWN else []) or None
