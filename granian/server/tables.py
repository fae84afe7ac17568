"""The supervisor as data: states, events, and the actions that an event leads to in each state.

`WORKER` is the life of one worker as the main process sees it, `SERVER` the life of the whole.
Every pair of state and event has a row; the machines are in `granian.server.life` and
`granian.server.supervisor`.
"""

from __future__ import annotations

from enum import Enum


class WorkerState(Enum):
    """A worker, as the main process sees it."""

    STARTING = 'starting'
    SERVING = 'serving'
    LEAVING = 'leaving'
    KILLED = 'killed'
    GONE = 'gone'


class WorkerEvent(Enum):
    """What can happen to a worker."""

    READY = 'it serves'
    STOP = 'it is to stop'
    CUT = 'it is to stop without waiting for requests'
    KILL = 'it is to end at once'
    OVERDUE = 'it has not started, or not stopped, in time'
    LEAVING = 'it stops because another process has sent it a signal'
    EXIT = 'its process has ended'


class WorkerAction(Enum):
    """What the supervisor does about it."""

    NOTHING = 'nothing'
    STOP = 'ask it to stop'
    HURRY = 'it stops: where the whole server does, it need not wait for first requests'
    CUT = 'ask it to stop without waiting for requests'
    KILL = 'kill it'
    ARRIVED = 'it serves from now on'
    DEPARTING = 'replace it, and limit the time it may take to stop'
    EXTEND = 'it has become ready while it was asked to stop: give it the whole time'
    STILLBORN = 'it ended before it served'
    LOST = 'it ended without being asked to'
    LEFT = 'it ended as it was asked to'


WORKER: dict[tuple[WorkerState, WorkerEvent], tuple[WorkerState, WorkerAction]] = {
    (WorkerState.STARTING, WorkerEvent.READY): (WorkerState.SERVING, WorkerAction.ARRIVED),
    (WorkerState.STARTING, WorkerEvent.STOP): (WorkerState.LEAVING, WorkerAction.STOP),
    (WorkerState.STARTING, WorkerEvent.CUT): (WorkerState.LEAVING, WorkerAction.CUT),
    (WorkerState.STARTING, WorkerEvent.KILL): (WorkerState.KILLED, WorkerAction.KILL),
    (WorkerState.STARTING, WorkerEvent.OVERDUE): (WorkerState.STARTING, WorkerAction.KILL),
    (WorkerState.STARTING, WorkerEvent.LEAVING): (WorkerState.STARTING, WorkerAction.NOTHING),
    (WorkerState.STARTING, WorkerEvent.EXIT): (WorkerState.GONE, WorkerAction.STILLBORN),
    (WorkerState.SERVING, WorkerEvent.READY): (WorkerState.SERVING, WorkerAction.NOTHING),
    (WorkerState.SERVING, WorkerEvent.STOP): (WorkerState.LEAVING, WorkerAction.STOP),
    (WorkerState.SERVING, WorkerEvent.CUT): (WorkerState.LEAVING, WorkerAction.CUT),
    (WorkerState.SERVING, WorkerEvent.KILL): (WorkerState.KILLED, WorkerAction.KILL),
    (WorkerState.SERVING, WorkerEvent.OVERDUE): (WorkerState.SERVING, WorkerAction.NOTHING),
    (WorkerState.SERVING, WorkerEvent.LEAVING): (WorkerState.LEAVING, WorkerAction.DEPARTING),
    (WorkerState.SERVING, WorkerEvent.EXIT): (WorkerState.GONE, WorkerAction.LOST),
    (WorkerState.LEAVING, WorkerEvent.READY): (WorkerState.LEAVING, WorkerAction.EXTEND),
    (WorkerState.LEAVING, WorkerEvent.STOP): (WorkerState.LEAVING, WorkerAction.HURRY),
    (WorkerState.LEAVING, WorkerEvent.CUT): (WorkerState.LEAVING, WorkerAction.CUT),
    (WorkerState.LEAVING, WorkerEvent.KILL): (WorkerState.KILLED, WorkerAction.KILL),
    (WorkerState.LEAVING, WorkerEvent.OVERDUE): (WorkerState.KILLED, WorkerAction.KILL),
    (WorkerState.LEAVING, WorkerEvent.LEAVING): (WorkerState.LEAVING, WorkerAction.NOTHING),
    (WorkerState.LEAVING, WorkerEvent.EXIT): (WorkerState.GONE, WorkerAction.LEFT),
    (WorkerState.KILLED, WorkerEvent.READY): (WorkerState.KILLED, WorkerAction.NOTHING),
    (WorkerState.KILLED, WorkerEvent.STOP): (WorkerState.KILLED, WorkerAction.NOTHING),
    (WorkerState.KILLED, WorkerEvent.CUT): (WorkerState.KILLED, WorkerAction.NOTHING),
    (WorkerState.KILLED, WorkerEvent.KILL): (WorkerState.KILLED, WorkerAction.NOTHING),
    (WorkerState.KILLED, WorkerEvent.OVERDUE): (WorkerState.KILLED, WorkerAction.NOTHING),
    (WorkerState.KILLED, WorkerEvent.LEAVING): (WorkerState.KILLED, WorkerAction.NOTHING),
    (WorkerState.KILLED, WorkerEvent.EXIT): (WorkerState.GONE, WorkerAction.LEFT),
    **{(WorkerState.GONE, event): (WorkerState.GONE, WorkerAction.NOTHING) for event in WorkerEvent},
}


class ServerState(Enum):
    """The server as a whole."""

    STARTING = 'starting'
    """The first workers have been started, and not all have reported success or failure."""
    RUNNING = 'running'
    RENEWING = 'renewing'
    """One new worker is being started, in place of an old one or of one that died."""
    STOPPING = 'stopping'
    STOPPED = 'stopped'


class ServerEvent(Enum):
    """What can happen to the server."""

    COMPLETE = 'the first workers have all answered'
    ARRIVED = 'a new worker serves'
    STILLBORN = 'a new worker ended before it served'
    UNABLE = 'the system refused to start a process'
    VACANT = 'a worker has ended and is to be replaced'
    FATAL = 'a worker has ended, which ends the server'
    DUE = 'it is time to start a worker'
    RELOAD = 'reload'
    GROW = 'one worker more'
    SHRINK = 'one worker less'
    STOP = 'stop gracefully'
    INTERRUPT = 'Ctrl-C: stop gracefully, and at the second time at once'
    QUICK = 'stop without waiting for requests in flight'
    QUIT = 'kill all workers'
    EMPTY = 'no worker is left'


class ServerAction(Enum):
    """What the supervisor does about it."""

    SETTLE = 'the new worker takes its place, the old one leaves'
    ABANDON = 'give the new worker up'
    DISMISS = 'stop the workers that still load old code'
    START = 'start one worker'
    MARK = 'every worker is to be replaced'
    ADD = 'add a slot'
    REMOVE = 'remove a slot'
    STOP_ALL = 'ask all workers to stop'
    CUT_ALL = 'ask all workers to stop without waiting for requests'
    KILL_ALL = 'kill all workers'
    PATIENCE = 'log that the server is stopping already'
    HINT = 'log what is waited for, and that a second Ctrl-C ends it'
    FAIL = 'set the exit status of a failure'


Row = dict[ServerEvent, 'tuple[ServerState, tuple[ServerAction, ...]]']

_STOPS: Row = {
    ServerEvent.FATAL: (ServerState.STOPPING, (ServerAction.FAIL, ServerAction.STOP_ALL)),
    ServerEvent.STOP: (ServerState.STOPPING, (ServerAction.STOP_ALL,)),
    ServerEvent.INTERRUPT: (ServerState.STOPPING, (ServerAction.STOP_ALL, ServerAction.HINT)),
    ServerEvent.QUICK: (ServerState.STOPPING, (ServerAction.CUT_ALL,)),
    ServerEvent.QUIT: (ServerState.STOPPING, (ServerAction.KILL_ALL,)),
}

_ROWS: dict[ServerState, Row] = {
    ServerState.STARTING: {
        **_STOPS,
        ServerEvent.COMPLETE: (ServerState.RUNNING, ()),
        ServerEvent.ARRIVED: (ServerState.STARTING, ()),
        ServerEvent.STILLBORN: (ServerState.STOPPING, (ServerAction.FAIL, ServerAction.STOP_ALL)),
        ServerEvent.UNABLE: (ServerState.STARTING, ()),
        ServerEvent.VACANT: (ServerState.STARTING, ()),
        ServerEvent.DUE: (ServerState.STARTING, ()),
        ServerEvent.RELOAD: (ServerState.STARTING, (ServerAction.MARK, ServerAction.DISMISS)),
        ServerEvent.GROW: (ServerState.STARTING, (ServerAction.ADD,)),
        ServerEvent.SHRINK: (ServerState.STARTING, (ServerAction.REMOVE,)),
        ServerEvent.EMPTY: (ServerState.STARTING, ()),
    },
    ServerState.RUNNING: {
        **_STOPS,
        ServerEvent.COMPLETE: (ServerState.RUNNING, ()),
        ServerEvent.ARRIVED: (ServerState.RUNNING, ()),
        ServerEvent.STILLBORN: (ServerState.RUNNING, ()),
        ServerEvent.UNABLE: (ServerState.RUNNING, ()),
        ServerEvent.VACANT: (ServerState.RUNNING, ()),
        ServerEvent.DUE: (ServerState.RENEWING, (ServerAction.START,)),
        ServerEvent.RELOAD: (ServerState.RUNNING, (ServerAction.MARK,)),
        ServerEvent.GROW: (ServerState.RUNNING, (ServerAction.ADD,)),
        ServerEvent.SHRINK: (ServerState.RUNNING, (ServerAction.REMOVE,)),
        ServerEvent.EMPTY: (ServerState.RUNNING, ()),
    },
    ServerState.RENEWING: {
        **_STOPS,
        ServerEvent.COMPLETE: (ServerState.RENEWING, ()),
        ServerEvent.ARRIVED: (ServerState.RUNNING, (ServerAction.SETTLE,)),
        ServerEvent.STILLBORN: (ServerState.RUNNING, (ServerAction.ABANDON,)),
        ServerEvent.UNABLE: (ServerState.RUNNING, ()),
        ServerEvent.VACANT: (ServerState.RENEWING, ()),
        ServerEvent.DUE: (ServerState.RENEWING, ()),
        ServerEvent.RELOAD: (ServerState.RUNNING, (ServerAction.MARK, ServerAction.DISMISS)),
        ServerEvent.GROW: (ServerState.RENEWING, (ServerAction.ADD,)),
        ServerEvent.SHRINK: (ServerState.RENEWING, (ServerAction.REMOVE,)),
        ServerEvent.EMPTY: (ServerState.RENEWING, ()),
    },
    ServerState.STOPPING: {
        **dict.fromkeys(ServerEvent, (ServerState.STOPPING, ())),
        ServerEvent.STOP: (ServerState.STOPPING, (ServerAction.PATIENCE,)),
        ServerEvent.INTERRUPT: (ServerState.STOPPING, (ServerAction.KILL_ALL,)),
        ServerEvent.QUICK: (ServerState.STOPPING, (ServerAction.CUT_ALL,)),
        ServerEvent.QUIT: (ServerState.STOPPING, (ServerAction.KILL_ALL,)),
        ServerEvent.EMPTY: (ServerState.STOPPED, ()),
    },
    ServerState.STOPPED: dict.fromkeys(ServerEvent, (ServerState.STOPPED, ())),
}

SERVER: dict[tuple[ServerState, ServerEvent], tuple[ServerState, tuple[ServerAction, ...]]] = {
    (state, event): result for state, row in _ROWS.items() for event, result in row.items()
}
