"""Mutants of a chain that goes on: the order of its steps, what is synced, what a kill leaves."""

from tests.torture.mutant import Mutant

_CHAIN = "tests/torture/test_chain.py::"
_KILLED = f"{_CHAIN}test_a_kill_before_any_operation_leaves_the_child_whole_or_nothing"
_CUT = f"{_CHAIN}test_a_power_cut_at_any_moment_leaves_the_child_whole_or_nothing"

MUTANTS = (
    Mutant(
        "chain",
        "the intent is written when the child is there already",
        """    state.write(project.chain, replace(chain, making=making))
    try:
        with state.storage("create", child.folder), create.made_aside(child) as partial:
            fill(partial)
""",
        """    try:
        with state.storage("create", child.folder), create.made_aside(child) as partial:
            fill(partial)
        state.write(project.chain, replace(chain, making=making))
""",
        (_KILLED,),
    ),
    Mutant(
        "chain",
        "the parent's session ends before the child is there",
        '    try:\n        with state.storage("create", child.folder), create.made_aside(child)',
        "    _end_session(project.experiment(making.parent), making.epoch or 0)\n"
        '    try:\n        with state.storage("create", child.folder), create.made_aside(child)',
        (_KILLED,),
    ),
    Mutant(
        "chain",
        "half a child counts as one that is there",
        "return chain.making is not None and project.experiment(chain.making.slug).folder.is_dir()",
        'return chain.making is not None and any(project.home.glob(f"*{chain.making.slug}"))',
        (_KILLED,),
    ),
    Mutant(
        "chain",
        "what was made aside of a child stays",
        "durable.remove_tree(create.aside(project.experiment(chain.making.slug)).folder)",
        "pass",
        (_KILLED,),
    ),
    Mutant(
        "chain",
        "the chain is finished before the runs that wait are cancelled",
        "        for flight in self.board.of(parent):\n            if flight.only_waits:",
        "        await self.disks.do(project, partial(chaining.finish, Project(project)))\n"
        "        for flight in self.board.of(parent):\n            if flight.only_waits:",
        (_KILLED,),
    ),
    Mutant(
        "chain",
        "the same call again does not find the child that it has made",
        "return child if decision is not None and decision.submit_id == params.submit_id else None",
        "return None",
        (_KILLED,),
    ),
    Mutant(
        "chain",
        "a daemon that starts takes runs up before it looks whether their session ended with a child",
        "chaining.settle_alone(Project(self.project))",
        "pass",
        (f"{_CHAIN}test_a_run_that_was_to_be_cancelled_is_not_started_by_the_next_daemon",),
    ),
    Mutant(
        "chain",
        "the child's place is not synced before its parent's session ends",
        "durable.rename(partial.folder, experiment.folder)",
        "operations.rename(partial.folder, experiment.folder)",
        (_CUT,),
    ),
    Mutant(
        "chain",
        "the names of the child's files are not synced",
        "state.write(partial.session, around.started_here.signed(session))",
        "state.write(partial.session, around.started_here.signed(session), folder=False)",
        (_CUT,),
    ),
    Mutant(
        "chain",
        "the names of the copied checkpoint are not synced",
        "folder=False)\n        durable.sync_folder(folder)",
        "folder=False)",
        (_CUT,),
    ),
)
