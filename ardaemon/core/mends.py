"""Command lines that errors name: what to do now."""

import shlex

from ardaemon.core.model import Settings


def session_again(settings: Settings) -> str:
    """Return the command that starts a session anew, with the settings that launch its runs and end it."""
    words = ["arctl session start --resume continue", f"--seconds {settings.seconds:g}"]
    if settings.runner != Settings(seconds=1).runner:
        words.append(f"--runner {shlex.quote(settings.runner)}")
    if settings.plateau is not None:
        words.append(f"--plateau {settings.plateau}")
    if settings.max_runs is not None:
        words.append(f"--max-runs {settings.max_runs}")
    return " ".join(words)
