"""The supervisor as data: what can happen, and what it leads to.

`WORKER` is the life of one worker as the main process sees it, `SERVER` the life of the whole.
Every pair of state and input has its line; the machine is in `granian.server.supervisor`.
"""

from __future__ import annotations

from enum import Enum


class Life(Enum):
    """A worker, as the parent sees it."""

    STARTING = 'starting'
    SERVING = 'serving'
    LEAVING = 'leaving'
    KILLED = 'killed'
    GONE = 'gone'


class Happening(Enum):
    """What can happen to a worker."""

    READY = 'ready'
    STOP = 'stop'
    KILL = 'kill'
    OVERDUE = 'overdue'
    EXIT = 'exit'


class Do(Enum):
    """What is to be done about it."""

    NOTHING = 'nothing'
    TELL = 'tell it to stop'
    KILL = 'kill it'
    ARRIVED = 'it serves'
    STILLBORN = 'it never served'
    LOST = 'it ended unasked'
    LEFT = 'it ended as it was told'


WORKER: dict[tuple[Life, Happening], tuple[Life, Do]] = {
    (Life.STARTING, Happening.READY): (Life.SERVING, Do.ARRIVED),
    (Life.STARTING, Happening.STOP): (Life.LEAVING, Do.TELL),
    (Life.STARTING, Happening.KILL): (Life.KILLED, Do.KILL),
    (Life.STARTING, Happening.OVERDUE): (Life.STARTING, Do.NOTHING),
    (Life.STARTING, Happening.EXIT): (Life.GONE, Do.STILLBORN),
    (Life.SERVING, Happening.READY): (Life.SERVING, Do.NOTHING),
    (Life.SERVING, Happening.STOP): (Life.LEAVING, Do.TELL),
    (Life.SERVING, Happening.KILL): (Life.KILLED, Do.KILL),
    (Life.SERVING, Happening.OVERDUE): (Life.SERVING, Do.NOTHING),
    (Life.SERVING, Happening.EXIT): (Life.GONE, Do.LOST),
    (Life.LEAVING, Happening.READY): (Life.LEAVING, Do.NOTHING),
    (Life.LEAVING, Happening.STOP): (Life.LEAVING, Do.NOTHING),
    (Life.LEAVING, Happening.KILL): (Life.KILLED, Do.KILL),
    (Life.LEAVING, Happening.OVERDUE): (Life.KILLED, Do.KILL),
    (Life.LEAVING, Happening.EXIT): (Life.GONE, Do.LEFT),
    (Life.KILLED, Happening.READY): (Life.KILLED, Do.NOTHING),
    (Life.KILLED, Happening.STOP): (Life.KILLED, Do.NOTHING),
    (Life.KILLED, Happening.KILL): (Life.KILLED, Do.NOTHING),
    (Life.KILLED, Happening.OVERDUE): (Life.KILLED, Do.NOTHING),
    (Life.KILLED, Happening.EXIT): (Life.GONE, Do.LEFT),
    (Life.GONE, Happening.READY): (Life.GONE, Do.NOTHING),
    (Life.GONE, Happening.STOP): (Life.GONE, Do.NOTHING),
    (Life.GONE, Happening.KILL): (Life.GONE, Do.NOTHING),
    (Life.GONE, Happening.OVERDUE): (Life.GONE, Do.NOTHING),
    (Life.GONE, Happening.EXIT): (Life.GONE, Do.NOTHING),
}


class State(Enum):
    """The server."""

    STARTING = 'starting'
    """The first workers have been started, and not all have said how it went."""
    RUNNING = 'running'
    RENEWING = 'renewing'
    """One new worker is being started, in place of an old one or of one that died."""
    STOPPING = 'stopping'
    STOPPED = 'stopped'


class Input(Enum):
    COMPLETE = 'complete'
    """The first workers have all answered."""
    ARRIVED = 'arrived'
    """A new worker serves."""
    STILLBORN = 'stillborn'
    """A new worker ended before it served."""
    UNABLE = 'unable'
    """The system did not let a new worker be started."""
    VACANT = 'vacant'
    """A worker ended unasked, and is to be replaced."""
    FATAL = 'fatal'
    """A worker ended unasked, and that is the end of the server."""
    DUE = 'due'
    """The time has come to start a worker."""
    RELOAD = 'reload'
    GROW = 'grow'
    SHRINK = 'shrink'
    STOP = 'stop'
    QUIT = 'quit'
    EMPTY = 'empty'
    """No worker is left."""


class Action(Enum):
    SETTLE = 'the newcomer takes its place, the old one leaves'
    ABANDON = 'the newcomer is given up'
    START = 'start one worker'
    MARK = 'every worker is to be replaced'
    ADD = 'one more slot'
    REMOVE = 'one slot less'
    STOP_ALL = 'tell all to stop'
    KILL_ALL = 'kill all'
    PATIENCE = 'say what is being waited for'
    FAIL = 'exit status 1'


_STOPS = {
    Input.FATAL: (State.STOPPING, (Action.FAIL, Action.STOP_ALL)),
    Input.STOP: (State.STOPPING, (Action.STOP_ALL,)),
    Input.QUIT: (State.STOPPING, (Action.KILL_ALL,)),
}

_ROWS: dict[State, dict[Input, tuple[State, tuple[Action, ...]]]] = {
    State.STARTING: {
        **_STOPS,
        Input.COMPLETE: (State.RUNNING, ()),
        Input.ARRIVED: (State.STARTING, ()),
        Input.STILLBORN: (State.STOPPING, (Action.FAIL, Action.STOP_ALL)),
        Input.UNABLE: (State.STARTING, ()),
        Input.VACANT: (State.STARTING, ()),
        Input.DUE: (State.STARTING, ()),
        Input.RELOAD: (State.STARTING, (Action.MARK,)),
        Input.GROW: (State.STARTING, (Action.ADD,)),
        Input.SHRINK: (State.STARTING, (Action.REMOVE,)),
        Input.EMPTY: (State.STARTING, ()),
    },
    State.RUNNING: {
        **_STOPS,
        Input.COMPLETE: (State.RUNNING, ()),
        Input.ARRIVED: (State.RUNNING, ()),
        Input.STILLBORN: (State.RUNNING, ()),
        Input.UNABLE: (State.RUNNING, ()),
        Input.VACANT: (State.RUNNING, ()),
        Input.DUE: (State.RENEWING, (Action.START,)),
        Input.RELOAD: (State.RUNNING, (Action.MARK,)),
        Input.GROW: (State.RUNNING, (Action.ADD,)),
        Input.SHRINK: (State.RUNNING, (Action.REMOVE,)),
        Input.EMPTY: (State.RUNNING, ()),
    },
    State.RENEWING: {
        **_STOPS,
        Input.COMPLETE: (State.RENEWING, ()),
        Input.ARRIVED: (State.RUNNING, (Action.SETTLE,)),
        Input.STILLBORN: (State.RUNNING, (Action.ABANDON,)),
        Input.UNABLE: (State.RUNNING, ()),
        Input.VACANT: (State.RENEWING, ()),
        Input.DUE: (State.RENEWING, ()),
        Input.RELOAD: (State.RENEWING, (Action.MARK,)),
        Input.GROW: (State.RENEWING, (Action.ADD,)),
        Input.SHRINK: (State.RENEWING, (Action.REMOVE,)),
        Input.EMPTY: (State.RENEWING, ()),
    },
    State.STOPPING: {
        **dict.fromkeys(Input, (State.STOPPING, ())),
        Input.STOP: (State.STOPPING, (Action.PATIENCE,)),
        Input.QUIT: (State.STOPPING, (Action.KILL_ALL,)),
        Input.EMPTY: (State.STOPPED, ()),
    },
    State.STOPPED: dict.fromkeys(Input, (State.STOPPED, ())),
}

SERVER: dict[tuple[State, Input], tuple[State, tuple[Action, ...]]] = {
    (state, event): result for state, row in _ROWS.items() for event, result in row.items()
}
