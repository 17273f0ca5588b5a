"""Every default and limit, named, with why it has that value; and the user's config.toml."""

import msgspec

# --- limits of one experiment ---
TRAIN_MAX_BYTES = 1 << 20  # a script, not data; it travels whole through every snapshot
NOTE_MAX = 200  # characters of a note that are kept; a line of results stays readable
SIBLINGS_MAX = 256  # files beside train.py that are linked into a run's folder
RECENT_SUBMITS = 64  # submit ids remembered: a client retries within seconds, not within 64 runs
ATTEMPTS_MAX = 3  # launches of one run; more would hide a real fault
RESULT_MAX_BYTES = 2048  # result.json: what an agent reads per iteration is bounded
FREE_DISK_MIN = 64 << 20  # bytes that must be free to accept a run: its log and record must fit
QUEUE_MAX = 10_000  # runs waiting or running in one daemon
ENVIRONMENT_MAX_BYTES = 512 << 10  # of one run; the kernel's own limit is larger (execve(2))

# --- supervision ---
SETTLE_S = 5.0  # a wandb service finishes its upload in this time
GRACE_S = 10.0  # between TERM and KILL: a checkpoint of some GB can be written
VERIFY_S = 10.0  # after KILL: how long a process may take to be gone before it is "unclean"

# --- metrics ---
CUSTOM_DEADLINE_S = 60.0  # a metric command reads files; one that takes longer hangs

# --- server ---
FRAME_MAX = 1 << 20  # bytes of one request line
HALF_FRAME_S = 10.0  # a started line must be finished in this time
SEND_S = 30.0  # a client that does not read is dropped after this
CONNECTIONS_MAX = 512
REQUESTS_PER_CONNECTION = 64
BATCH_MAX = 64
SUBSCRIBER_QUEUE = 256  # events a slow subscriber may be behind before it is dropped
DEPTH_MAX = 64  # nesting of one JSON text

# --- client ---
START_DEADLINE_S = 15.0  # from spawning the daemon to its first answer, on a loaded machine

# Credentials of coding agents and of the services behind them: a training script has no use for
# them. Names end in * where a family is meant.
DENIED_ENVIRONMENT = (
    "ANTHROPIC_*",
    "CLAUDE_*",
    "CLAUDECODE",
    "OPENAI_*",
    "CODEX_*",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "DEEPSEEK_API_KEY",
    "XAI_API_KEY",
    "OPENROUTER_API_KEY",
    "COPILOT_*",
    "CURSOR_*",
    "GH_TOKEN",
    "GITHUB_TOKEN",
)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """config.toml. Times are seconds. Lists extend (deny) or lift (allow) the defaults."""

    grace: float = GRACE_S
    verify: float = VERIFY_S
    deny_environment: tuple[str, ...] = ()
    allow_environment: tuple[str, ...] = ()


def denied(name: str, config: Config) -> bool:
    """Is the environment variable `name` kept from jobs?"""

    def matches(patterns: tuple[str, ...]) -> bool:
        return any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in patterns)

    return matches(DENIED_ENVIRONMENT + config.deny_environment) and not matches(config.allow_environment)
