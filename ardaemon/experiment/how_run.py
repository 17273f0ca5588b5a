"""The part of program.md that says how the experiment is run: by `arctl`.

A program.md that was written for another loop tells the agent to run the script itself, to commit and reset
by git and to keep results.tsv by hand. The part stands above such a text, which stays as it is.
"""

BEGINS = "<!-- Written by arctl: how this experiment is run. -->"
ENDS = "<!-- End of the part that arctl has written. -->"
PART = f"""
{BEGINS}
## How this experiment is run
`arctl` starts each run, measures it and decides what is kept. An iteration is:

1. Edit `train.py`, which lies beside this file, and no other file. Say the idea in its line `RUN_NOTE = "…"`.
   The first run is `train.py` as it is: the baseline.
2. Run `arctl run --wait --exit-zero --timeout 540`. If the last line says `still running`, wait on:
   `arctl wait --exit-zero --timeout 540`.
3. `train.py` now holds the best version. Do what the last line says. `continue`: make the next edit.
   `chain: …`: see `arctl chain-init --help`. `stop: …` or `leave: …`: end here, and say why.

Where the text below says otherwise, this part counts:

| the text below may say | here |
|---|---|
| run the script, as `uv run train.py > run.log` | `arctl run --wait` |
| read the result in `run.log` | read what `arctl run --wait` prints; after a crash, `arctl tail` |
| make a branch, `git commit`, `git reset` | no git: `runs/` keeps all versions, the best is put back |
| write `results.tsv` | the daemon writes it: `arctl status --last 10`, `arctl history` |
| end a run that takes too long | the session's limit does that |
{ENDS}

"""


def with_part(prose: str) -> str:
    """Return the prose below the part, or as it is if it has the part: a person may have changed that."""
    marked = any(line.strip() == BEGINS for line in prose.splitlines())
    return prose if marked else PART + prose


def without_part(prose: str) -> str:
    """Return the prose alone; a part that a person has changed stays in it."""
    return prose.replace(PART, "", 1)
