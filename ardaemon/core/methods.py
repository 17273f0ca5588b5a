"""The table of methods: what each takes, gives, and is for. rpc.discover and the fuzz tests read it."""

from typing import Any

from msgspec import Struct

from ardaemon.core.protocol import (
    Adopt,
    Adopted,
    Archive,
    Archived,
    AuditView,
    Cancel,
    ChainGet,
    ChainInit,
    ChainMade,
    ChainStop,
    ChainView,
    Compare,
    CompareView,
    CurveView,
    DaemonInfo,
    Done,
    Drained,
    ExperimentView,
    GpuList,
    History,
    HistoryView,
    Init,
    ListGpus,
    ListStatus,
    Move,
    NoiseView,
    Nothing,
    PageGet,
    PageView,
    Params,
    Pause,
    ProjectView,
    Prune,
    Pruned,
    QueueView,
    Recent,
    Report,
    ReportView,
    Rerun,
    Reruns,
    RunList,
    RunView,
    Seal,
    SessionSet,
    SessionStart,
    SessionView,
    StatusView,
    Submit,
    Subscribe,
    Tail,
    TailText,
    Wait,
    Where,
    WhichRun,
)


class Method(Struct, frozen=True):
    """One row of the table: what a method takes, gives, and is for."""

    params: type[Params]
    result: type
    summary: str
    streams: bool = False  # sends notifications before its result
    # Minutes: sealed data is hashed in it, a kill verified, a chain's runs are all read, or another daemon
    # lets go of the project first.
    slow: bool = False
    repeatable: bool = False  # asked twice it gives what it gives once: a client may ask the next daemon


METHODS: dict[str, Method] = {
    "run.submit": Method(
        Submit, RunView, "Snapshot train.py and queue it as a run.", repeatable=True, slow=True
    ),
    "run.wait": Method(
        Wait, RunView, "Wait until a run is launched or committed, or a timeout passes.", repeatable=True
    ),
    "run.get": Method(WhichRun, RunView, "One run as it stands.", repeatable=True),
    "run.list": Method(Recent, RunList, "The last committed runs.", repeatable=True),
    "run.tail": Method(
        Tail, TailText, "The end of a run's log, cleaned, traceback first.", streams=True, repeatable=True
    ),
    "run.curve": Method(
        WhichRun, CurveView, "The primary metric's history in a run, in 200 points.", repeatable=True
    ),
    "run.rerun": Method(Rerun, Reruns, "Launch a run's version once more, with other seeds.", slow=True),
    "noise.get": Method(
        WhichRun, NoiseView, "What the launches of a version say of the noise.", repeatable=True
    ),
    "run.compare": Method(
        Compare, CompareView, "What two runs measured, seed by seed, and how far apart.", repeatable=True
    ),
    "audit.get": Method(
        Where, AuditView, "What the hidden audit has shown; for people alone.", repeatable=True
    ),
    "run.cancel": Method(Cancel, RunView, "Interrupt a run, or take it from the queue."),
    "status.get": Method(Recent, StatusView, "An experiment as it stands.", repeatable=True),
    "status.list": Method(
        ListStatus, ProjectView, "The project's experiments at a glance, the newest first.", repeatable=True
    ),
    "experiment.init": Method(Init, ExperimentView, "Create an experiment and seal it.", slow=True),
    "experiment.seal": Method(
        Seal, ExperimentView, "Report what changed under the seal; accept it.", slow=True
    ),
    "experiment.clean": Method(
        Where, ExperimentView, "Verify that no survivor is left; lift the sentinel.", slow=True
    ),
    "experiment.restore": Method(WhichRun, ExperimentView, "Make train.py the version of a run.", slow=True),
    "experiment.archive": Method(Archive, Archived, "Put an experiment aside, or take it back.", slow=True),
    "session.start": Method(
        SessionStart, SessionView, "Start a session: runs are accepted from here on.", slow=True
    ),
    "session.set": Method(SessionSet, SessionView, "Change settings of the live session.", slow=True),
    "session.stop": Method(
        Where, SessionView, "End the session; interrupt what runs, hold what waits.", slow=True
    ),
    "session.get": Method(Where, SessionView, "The session's settings and counters.", repeatable=True),
    "chain.init": Method(
        ChainInit,
        ChainMade,
        "Make the experiment that follows another one in the chain.",
        slow=True,
        repeatable=True,
    ),
    "chain.get": Method(ChainGet, ChainView, "The chain: its links, and what is left.", repeatable=True),
    "chain.stop": Method(ChainStop, ChainView, "End the chain: no experiment follows any more.", slow=True),
    "project.adopt": Method(
        Adopt, Adopted, "Take over the runs of a daemon that has ended.", slow=True, repeatable=True
    ),
    "log.prune": Method(Prune, Pruned, "Remove old logs, but for the last ones and the best's.", slow=True),
    "report.get": Method(
        Report, ReportView, "What the runs have shown, in 8 KiB whatever their number.", repeatable=True
    ),
    "report.page": Method(
        PageGet, PageView, "The history as one HTML file, whole in itself.", repeatable=True, slow=True
    ),
    "history.get": Method(
        History, HistoryView, "What has been tried: the runs that answer a question.", repeatable=True
    ),
    "queue.list": Method(Nothing, QueueView, "What runs and what waits, in order.", repeatable=True),
    "queue.move": Method(Move, RunView, "Put a waiting run first or last, or give it another priority."),
    "queue.pause": Method(Pause, QueueView, "Let no run start; those at work go on."),
    "queue.resume": Method(Pause, QueueView, "Let runs start again; with `seconds` whatever the hours say."),
    "queue.drained": Method(
        Drained, QueueView, "Wait until no run has a place, or for so many seconds.", repeatable=True
    ),
    "queue.hold": Method(WhichRun, RunView, "Keep a waiting run from starting."),
    "queue.release": Method(WhichRun, RunView, "Let it start again."),
    "gpu.list": Method(
        ListGpus, GpuList, "The GPUs: what they do, who is on them, which take runs.", repeatable=True
    ),
    "events.subscribe": Method(Subscribe, Done, "Follow what happens.", streams=True),
    "daemon.info": Method(Nothing, DaemonInfo, "Pid, version, socket, uptime.", repeatable=True),
    "daemon.stop": Method(Nothing, Done, "Stop the daemon; running jobs go on and are taken up again."),
    "rpc.discover": Method(Nothing, dict[str, Any], "This protocol as an OpenRPC document.", repeatable=True),
}
