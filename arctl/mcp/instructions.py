"""What a client is told of the server: enough to run the loop. Clients show some 2,000 characters of it."""

LOOP = """\
ardaemon runs a training script on this machine, judges each run by one metric, and keeps an edit of
train.py only if the metric improved. The loop:
1. status: which train.py to edit, the best value, the limits. Once, read the resource
ardaemon://program.md: the goal and its rules.
2. Edit that train.py and no other file: one idea, with RUN_NOTE = "what and why" at its top. It holds the
best version now.
3. run{longer}: waits for the verdict. advance: the edit is kept. Else train.py is the best version again.
4. Do what `next` says. wait: call wait with the run_id{longer_too}. continue: go to 2. chain: read report,
then chain_init with a new slug (yymmdd-topic), a goal and a rationale; edit the train.py that it names, and
go on with that expr. stop or leave: end, and say why.
5. If the session is not live (status says why): manual or unclean: end. Else do as for chain if experiments
are left, or end. Only a person starts it again.
Do not ask, and do not end before `next` says so. Before an idea, ask history (param="lr", similar=true).
After crash, timeout or invalid: tail; mend the idea once, else try another one. A run that is refused says
what to do. Never run train.py yourself, never reset it with git, never write another file of the
experiment; call cancel only if a person wants it.
Pass project (absolute path) unless the server was started there, and expr where there are several
experiments. If you cannot edit train.py (as over ssh), read ardaemon://best/train.py (in another project:
ardaemon://EXPR/best/train.py?project=PATH) and give run the whole text as train_py. run and wait answer
after timeout_s (default {default:g}, at most {most:g}); whatever becomes of a call, the run goes on.
"arctl tail" in a text is the tool tail, "--again" is again=true. Tell the person of warnings."""


def instructions(default: float, most: float) -> str:
    """Return the instructions of a server whose calls wait for at most so many seconds."""
    longer = f" with timeout_s={most:g}" if most > default else ""
    too = longer.replace("with", "and")
    return LOOP.format(longer=longer, longer_too=too, default=min(default, most), most=most)
