"""The check of `arctl doctor` that says whether the script takes the seed that it is given."""

from collections.abc import Iterator

from arctl.check import Check
from arctl.dial import Answer
from ardaemon.core.line import short

RUN_MAX = 16  # bytes of a run id
MEND = 'if it shall take it: torch.manual_seed(int(os.environ.get("AR_SEED", "0")))'


def seed_checks(noise: Answer) -> Iterator[Check]:
    """Yield what the launches of the best say of that, as noise.get has them; nothing of too few."""
    run, seeds = short(noise["run_id"], RUN_MAX), len(noise.get("values") or ())
    match noise.get("ignores_seed"):
        case "yes":
            found = (
                f"{run} gave the same value with {seeds} seeds: the script ignores it, or has no luck in it"
            )
            yield Check("warn", "AR_SEED", found, MEND)
        case "perhaps":
            found = f"{run} differs with one seed as much as with {seeds}: perhaps the script ignores it"
            yield Check("warn", "AR_SEED", found, MEND)
        case "no":
            yield Check("ok", "AR_SEED", f"{run} gave different values with {seeds} seeds")
