"""The metric backends by the name that `--metrics` has for them."""

from ardaemon.metrics.auto import AutoBackend
from ardaemon.metrics.base import MetricBackend
from ardaemon.metrics.custom import CustomBackend
from ardaemon.metrics.log import LogBackend

# In the order in which `auto` asks: what the session was told comes before what is found.
SOURCES: tuple[MetricBackend, ...] = (
    CustomBackend(),
    LogBackend(),
)
BACKENDS: dict[str, MetricBackend] = {backend.name: backend for backend in (*SOURCES, AutoBackend(SOURCES))}
