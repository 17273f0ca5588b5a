"""The guards of a session that runs the loop: `guard.py edit|compact|stop`, with the event as JSON on stdin.

`arctl skill install` writes their registration into the front matter of the skill *run* and nowhere else: so
they judge the session that runs that skill, and no other. They need no daemon and the standard library alone.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from guards import event

# The agent lets a call pass that its guard has not judged in time. This is far below the agent's own limit,
# and far above the time that a guard takes.
PATIENCE_S = 5


def main(name: str) -> int:
    """Run one guard and return its exit code."""
    from signal import alarm

    alarm(PATIENCE_S)  # it ends the process, for which the registered command says what that means
    try:
        guard = getattr(__import__(f"guards.{name}"), name)  # of the others none is loaded
        return int(guard.main(event.read(sys.stdin.buffer)))
    except Exception as error:
        # What cannot be judged is not let pass. One line, whatever the error holds: it goes to the agent.
        unclear = isinstance(error, event.Unclear)
        why = str(error) if unclear else f"the {name} guard failed: {event.shown(repr(error))}"
        print(f"autoresearch: {why}", file=sys.stderr)
        return 2 if name == "edit" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
