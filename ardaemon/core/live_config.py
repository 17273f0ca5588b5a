"""The settings as they hold now: config.toml may change while the daemon runs."""

from collections.abc import Mapping

from msgspec.structs import replace

from ardaemon.core.config import Config

# Settings with which runs at work were started: a change waits for the next daemon. The shim that is parked
# for the next run has its cgroup and limit by now, and leases of runs at work lie in the folder of before.
AT_RESTART = ("cgroup", "pids_max", "lease_folder")


class LiveConfig:
    """The settings that hold, in `now`. Replaced by code of the event loop alone; threads read `now` once."""

    def __init__(self, config: Config, variables: Mapping[str, str] | None = None) -> None:
        """`variables`: those of the daemon's environment that give a setting."""
        self.now, self.variables = config, dict(variables or {})
        self.waiting: tuple[str, ...] = ()  # settings of which a change waits for the next daemon
        self.fault = ""  # why the file as it is now is not taken up; the settings of before hold

    def take(self, config: Config) -> tuple[str, ...]:
        """Let these settings hold from now on, but for those that wait; return the names of what changed."""
        before, self.fault = self.now, ""
        self.waiting = tuple(name for name in AT_RESTART if getattr(config, name) != getattr(before, name))
        self.now = replace(config, **{name: getattr(before, name) for name in AT_RESTART})
        return tuple(n for n in Config.__struct_fields__ if getattr(self.now, n) != getattr(before, n))
