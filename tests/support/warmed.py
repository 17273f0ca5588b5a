"""What a daemon makes when it is first asked for it; a forge makes it once for all of its daemons.

Anyio imports its backend when an event loop starts: 10 ms. What names the variables that no job gets is
compiled with the first environment, and the types of requests and records are looked through with the first
one of each: 5 ms.
"""

import anyio._backends._asyncio
import anyio._core._signals
import anyio._core._sockets  # noqa: F401
from msgspec.json import Decoder

import ardaemon.rpc.activation  # noqa: F401
from ardaemon.core import model
from ardaemon.core.config import Config, denied
from ardaemon.core.methods import METHODS
from ardaemon.core.run_record import Active, RunRecord

denied("", Config())
RECORDS = (model.Best, model.Exit, model.Result, model.Session, RunRecord, Active)
DECODERS = [Decoder(kind) for kind in (*(method.params for method in METHODS.values()), *RECORDS)]
