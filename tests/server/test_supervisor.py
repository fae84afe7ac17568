"""The supervisor's decisions, without processes and with a clock that the test turns."""

import errno
import logging
from math import inf

import pytest

from granian.errors import FatalError
from granian.server import deaths, life, succession
from granian.server.records import OnDeath, Policy
from granian.server.supervisor import Supervisor
from granian.server.tables import ServerEvent, ServerState, WorkerEvent, WorkerState
from granian.worker.ipc import Reason


class FakeHandle:
    pids = 1000

    def __init__(self, number):
        FakeHandle.pids += 1
        self.number = number
        self.pid = FakeHandle.pids
        self.told = []

    def stop(self, loading, reload, quick=False):
        self.told.append(('cut', loading) if quick else ('stop', loading, reload))

    def kill(self):
        self.told.append('kill')

    def dump(self):
        self.told.append('dump')

    def abort(self):
        self.told.append('abort')

    def files_changed(self):
        self.told.append('changed')


class World:
    """A supervisor, its fake workers, and time."""

    def __init__(self, workers=2, **policy):
        self.now = 100.0
        self.reloads = 0
        self.launched = []
        self.supervisor = Supervisor(
            workers, Policy(**policy), self.launch, self.reloaded, jitter=lambda limit: limit
        )
        self.supervisor.start(self.now)

    def launch(self, *places):
        handles = [FakeHandle(number) for number, age in places]
        self.launched += handles
        return handles

    def reloaded(self):
        self.reloads += 1

    def worker(self, handle):
        return next(worker for worker in self.supervisor.workers if worker.handle is handle)

    def ready(self, *handles):
        for handle in handles:
            self.supervisor.worker_event(self.worker(handle), WorkerEvent.READY, self.now)

    def exit(self, *handles):
        for handle in handles:
            self.supervisor.worker_event(self.worker(handle), WorkerEvent.EXIT, self.now)

    def feed(self, event):
        self.supervisor.server_event(event, self.now)

    def after(self, seconds):
        self.now += seconds
        self.supervisor.tick(self.now)

    def serving(self):
        return [worker.handle for worker in self.supervisor.workers if worker.state is WorkerState.SERVING]

    @property
    def state(self):
        return self.supervisor.state


@pytest.fixture
def running():
    def make(workers=2, **policy):
        world = World(workers, **policy)
        world.ready(*world.launched)
        assert world.state is ServerState.RUNNING
        return world

    return make


def test_first_workers_are_started_together():
    world = World(3)
    assert [handle.number for handle in world.launched] == [1, 2, 3]
    world.ready(*world.launched[:2])
    assert world.state is ServerState.STARTING
    world.ready(world.launched[2])
    assert world.state is ServerState.RUNNING
    assert world.supervisor.next_look() == inf


def test_a_first_worker_that_does_not_start_ends_the_server():
    for on_death in (OnDeath.STOP, OnDeath.RESPAWN):
        world = World(2, on_death=on_death)
        first, second = world.launched
        world.exit(first)
        assert world.state is ServerState.STOPPING
        assert second.told == [('stop', True, False)]
        world.exit(second)
        assert world.supervisor.stopped
        assert world.supervisor.status == 1


def test_stop(running):
    world = running()
    first, second = world.launched
    world.feed(ServerEvent.STOP)
    assert first.told == second.told == [('stop', False, False)]
    world.exit(first)
    assert not world.supervisor.stopped
    world.exit(second)
    assert world.supervisor.stopped
    assert world.supervisor.status == 0
    assert len(world.launched) == 2


def test_second_stop_loses_nothing_and_says_so(running, caplog):
    world = running()
    world.feed(ServerEvent.STOP)
    with caplog.at_level(logging.INFO, '_granian'):
        world.feed(ServerEvent.STOP)
    assert 'Already stopping: waiting for worker-1, worker-2, at most 30 seconds' in caplog.text
    assert all(handle.told == [('stop', False, False)] for handle in world.launched)


def test_kill_after_the_timeout(running, caplog):
    world = running(kill_timeout=5)
    world.feed(ServerEvent.STOP)
    assert world.supervisor.next_look() == world.now + 5
    world.exit(world.launched[0])
    world.after(4.9)
    assert 'kill' not in world.launched[1].told
    world.after(0.2)
    assert world.launched[1].told[-1] == 'kill'
    assert 'worker-2 has not stopped within 5 seconds: killing it' in caplog.text
    assert world.supervisor.next_look() == inf
    world.exit(world.launched[1])
    assert world.supervisor.stopped
    assert world.supervisor.status == 0


def test_no_kill_without_timeout(running):
    world = running(kill_timeout=None)
    world.feed(ServerEvent.STOP)
    assert world.supervisor.next_look() == inf
    world.after(1e6)
    assert all('kill' not in handle.told for handle in world.launched)


def test_quit_kills_at_once(running):
    world = running()
    world.feed(ServerEvent.QUIT)
    assert all(handle.told == ['kill'] for handle in world.launched)
    world.exit(*world.launched)
    assert world.supervisor.stopped
    assert world.supervisor.status == 0


def test_quit_while_stopping(running):
    world = running(kill_timeout=None)
    world.feed(ServerEvent.STOP)
    world.feed(ServerEvent.QUIT)
    assert all(handle.told == [('stop', False, False), 'kill'] for handle in world.launched)


def test_reload_one_by_one_new_before_old(running):
    world = running()
    one, two = world.launched
    world.feed(ServerEvent.RELOAD)
    assert world.reloads == 1
    assert len(world.launched) == 3
    three = world.launched[2]
    assert three.number == 1
    assert one.told == []
    world.ready(three)
    assert one.told == [('stop', False, True)]
    assert two.told == []
    four = world.launched[3]  # not waiting for the old one's end
    assert four.number == 2
    world.exit(one)
    world.ready(four)
    assert two.told == [('stop', False, True)]
    world.exit(two)
    assert world.state is ServerState.RUNNING
    assert world.serving() == [three, four]
    assert len(world.launched) == 4
    assert world.supervisor.counts.reloads == 2


def test_reload_during_reload_replaces_the_newcomer(running):
    world = running(1)
    world.feed(ServerEvent.RELOAD)
    world.feed(ServerEvent.RELOAD)
    two = world.launched[1]
    assert two.told == [('stop', True, True)]
    three = world.launched[2]
    world.exit(two)
    world.ready(three)
    assert world.serving() == [three]
    assert world.state is ServerState.RUNNING
    assert len(world.launched) == 3


def test_reload_while_the_first_are_starting():
    world = World(1)
    world.feed(ServerEvent.RELOAD)
    assert world.launched[0].told == [('stop', True, True)]
    world.ready(world.launched[1])
    world.exit(world.launched[0])
    assert world.serving() == [world.launched[1]]
    assert world.state is ServerState.RUNNING


def test_reload_that_fails_keeps_the_old_workers(running, caplog):
    world = running()
    world.feed(ServerEvent.RELOAD)
    world.exit(world.launched[2])
    assert world.state is ServerState.RUNNING
    assert world.serving() == world.launched[:2]
    assert len(world.launched) == 3
    assert all(handle.told == [] for handle in world.launched)
    assert [record.levelname for record in caplog.records].count('ERROR') == 1
    world.after(1000)
    assert len(world.launched) == 3
    world.feed(ServerEvent.RELOAD)
    assert len(world.launched) == 4


def test_stop_during_reload(running):
    world = running()
    world.feed(ServerEvent.RELOAD)
    world.feed(ServerEvent.STOP)
    assert world.launched[2].told == [('stop', True, False)]
    world.exit(*world.launched)
    assert world.supervisor.stopped
    assert world.supervisor.status == 0


def test_stop_hurries_a_worker_that_a_reload_has_replaced(running):
    """Tell it that the time is over which a reload gives to first requests."""
    world = running(1)
    world.feed(ServerEvent.RELOAD)
    one, two = world.launched
    world.ready(two)
    world.feed(ServerEvent.RELOAD)
    assert one.told == [('stop', False, True)]
    world.feed(ServerEvent.STOP)
    assert one.told == [('stop', False, True), ('stop', False, False)]


def test_death_without_respawn_ends_the_server(running):
    world = running()
    world.after(1000)
    world.exit(world.launched[0])
    assert world.state is ServerState.STOPPING
    assert world.launched[1].told == [('stop', False, False)]
    world.exit(world.launched[1])
    assert world.supervisor.status == 1


def test_death_with_respawn(running):
    world = running(on_death=OnDeath.RESPAWN, respawn_interval=3.5)
    one, two = world.launched
    world.after(1000)
    world.exit(one)
    three = world.launched[2]
    assert three.number == 1
    assert two.told == []
    world.ready(three)
    assert world.serving() == [two, three]
    assert world.supervisor.counts.failures == 1


def test_respawn_interval_between_one_and_the_next(running):
    world = running(3, on_death=OnDeath.RESPAWN, respawn_interval=3.5)
    world.after(1000)
    world.exit(*world.launched)
    assert [handle.number for handle in world.launched[3:]] == [1]
    world.ready(world.launched[3])
    assert len(world.launched) == 4
    assert world.supervisor.next_look() == world.now + 3.5
    world.after(3.4)
    assert len(world.launched) == 4
    world.after(0.1)
    assert [handle.number for handle in world.launched[3:]] == [1, 2]
    world.ready(world.launched[4])
    world.after(3.5)
    assert [handle.number for handle in world.launched[3:]] == [1, 2, 3]


def test_reload_fills_an_empty_slot_at_once(running):
    world = running(1, on_death=OnDeath.RESPAWN)
    for _ in range(2):
        world.exit(world.serving()[0])
        if world.state is ServerState.RENEWING:
            world.ready(world.launched[-1])
    assert not world.supervisor.workers
    assert world.state is ServerState.RUNNING  # waits for the interval
    world.feed(ServerEvent.RELOAD)
    assert len(world.supervisor.workers) == 1


def test_crash_loop_ends_at_the_limit(running, caplog):
    world = running(1, on_death=OnDeath.RESPAWN, respawn_interval=0, max_deaths=5)
    for _ in range(deaths.QUICK_DEATHS - 1):
        world.exit(world.launched[-1])
        assert world.state is ServerState.RENEWING
        world.ready(world.launched[-1])
        world.after(deaths.RAPID - 0.1)
    world.exit(world.launched[-1])
    assert world.supervisor.stopped
    assert world.supervisor.status == 1
    assert 'worker-1 has died 5 times in a row' in caplog.text


def test_planned_replacement_ends_a_row_of_deaths(running):
    world = running(1, on_death=OnDeath.RESPAWN, respawn_interval=0, max_deaths=3)
    for _ in range(2):
        world.exit(world.launched[-1])
        world.ready(world.launched[-1])
    old = world.launched[-1]
    world.supervisor.replace(world.worker(old), Reason.REQUESTS, world.now)
    world.ready(world.launched[-1])
    world.exit(old)
    world.exit(world.launched[-1])
    assert world.state is ServerState.RENEWING


def test_deaths_far_apart_are_no_crash_loop(running):
    world = running(1, on_death=OnDeath.RESPAWN, respawn_interval=0)
    for _ in range(20):
        world.after(deaths.RAPID + 0.1)
        world.exit(world.launched[-1])
        world.ready(world.launched[-1])
    assert world.state is ServerState.RUNNING


def test_respawned_worker_that_never_starts_is_a_crash_loop(running, caplog):
    world = running(2, on_death=OnDeath.RESPAWN, respawn_interval=2)
    two = world.launched[1]
    world.after(1000)
    world.exit(world.launched[0])
    for _ in range(deaths.QUICK_DEATHS - 1):
        world.exit(world.launched[-1])
        assert world.state is ServerState.RUNNING
        world.after(2)
        assert world.state is ServerState.RENEWING
    world.exit(world.launched[-1])
    assert two.told == [('stop', False, False)]
    world.exit(two)
    assert world.supervisor.status == 1


def test_wait_for_the_next_reload():
    world = World(1, on_death=OnDeath.WAIT)
    world.exit(world.launched[0])
    world.after(1000)
    assert world.state is ServerState.RUNNING
    assert len(world.launched) == 1
    world.feed(ServerEvent.RELOAD)
    world.exit(world.launched[1])
    world.after(1000)
    assert len(world.launched) == 2
    world.feed(ServerEvent.RELOAD)
    world.ready(world.launched[2])
    world.exit(world.launched[2])
    world.after(1000)
    assert len(world.launched) == 3
    world.feed(ServerEvent.STOP)
    assert world.supervisor.stopped


def test_killed_worker_is_replaced_where_none_gives_up():
    world = World(1, on_death=OnDeath.WAIT, max_deaths=0, respawn_interval=0)
    world.ready(world.launched[0])
    world.after(1000)
    world.exit(world.launched[0])
    assert len(world.launched) == 2
    world.ready(world.launched[1])
    world.feed(ServerEvent.STOP)


def test_lifetime_with_jitter(running):
    world = running(1, lifetime=60, lifetime_jitter=10)
    one = world.launched[0]
    assert world.supervisor.next_look() == world.now + 70
    world.after(69)
    assert len(world.launched) == 1
    world.after(1)
    two = world.launched[1]
    assert one.told == []
    world.ready(two)
    assert one.told == [('stop', False, True)]
    world.exit(one)
    assert world.supervisor.counts.replaced[Reason.LIFETIME] == 1
    assert world.supervisor.next_look() == world.now + 70


def test_lifetimes_that_end_together_are_spread(running):
    world = running(3, lifetime=60, respawn_interval=3.5)
    world.after(60)
    assert len(world.launched) == 4
    world.ready(world.launched[3])
    assert len(world.launched) == 4
    world.after(3.5)
    world.ready(world.launched[4])
    assert len(world.launched) == 5
    world.after(3.5)
    assert len(world.launched) == 6


@pytest.mark.parametrize('reason', list(Reason))
def test_replaced_for_a_reason(running, reason):
    world = running(respawn_interval=0)
    one, two = world.launched
    world.supervisor.replace(world.worker(two), reason, world.now)
    world.supervisor.replace(world.worker(two), reason, world.now)
    three = world.launched[2]
    assert three.number == 2
    world.ready(three)
    assert two.told == [('stop', False, True)]
    assert world.serving() == [one, three]
    assert world.supervisor.counts.replaced == {reason: 1}
    assert world.state is ServerState.RUNNING
    assert len(world.launched) == 3


def test_worker_that_dies_before_its_replacement_is_a_failure(running):
    world = running(on_death=OnDeath.RESPAWN, respawn_interval=0)
    one, two = world.launched
    world.supervisor.replace(world.worker(one), Reason.RSS, world.now)
    world.supervisor.replace(world.worker(two), Reason.RSS, world.now)
    world.exit(two)
    world.ready(world.launched[2])
    world.ready(world.launched[3])
    assert world.supervisor.counts.replaced == {Reason.RSS: 1}
    assert world.supervisor.counts.failures == 1


def test_replacement_asked_for_before_ready_is_made():
    world = World(2, respawn_interval=0)
    one, two = world.launched
    world.supervisor.replace(world.worker(two), Reason.REQUESTS, world.now)
    world.ready(one, two)
    three = world.launched[2]
    world.ready(three)
    assert world.serving() == [one, three]
    assert world.supervisor.counts.replaced == {Reason.REQUESTS: 1}


def test_replacement_that_fails_is_tried_again_later(running, caplog):
    world = running(1)
    one = world.launched[0]
    world.supervisor.replace(world.worker(one), Reason.RSS, world.now)
    world.exit(world.launched[1])
    assert 'did not start: the old one goes on' in caplog.text
    assert one.told == []
    world.after(succession.RETRY - 1)
    assert len(world.launched) == 2
    world.after(1)
    assert len(world.launched) == 3


def test_old_worker_that_dies_while_its_successor_starts(running):
    world = running(1)
    world.feed(ServerEvent.RELOAD)
    world.exit(world.launched[0])
    assert world.state is ServerState.RENEWING
    world.ready(world.launched[1])
    assert world.serving() == [world.launched[1]]
    assert world.supervisor.status == 0


def test_grow_and_shrink(running, caplog):
    caplog.set_level(logging.INFO, '_granian')
    world = running()
    world.feed(ServerEvent.GROW)
    three = world.launched[2]
    assert three.number == 3
    world.ready(three)
    world.feed(ServerEvent.SHRINK)
    assert world.launched[0].told == [('stop', False, True)]
    assert 'Decreasing workers to 2' in caplog.text
    world.exit(world.launched[0])
    assert world.state is ServerState.RUNNING
    world.feed(ServerEvent.SHRINK)
    world.exit(world.launched[1])
    world.feed(ServerEvent.SHRINK)
    assert 'Ignoring SIGTTOU: one worker left' in caplog.text
    assert world.serving() == [three]
    assert world.supervisor.status == 0


def test_shrink_without_a_worker_is_ignored(running, caplog):
    world = running(1)
    world.supervisor.resize(0, world.now)
    world.exit(*world.launched)
    world.feed(ServerEvent.SHRINK)
    assert 'Ignoring SIGTTOU: no worker left' in caplog.text
    world.feed(ServerEvent.GROW)
    world.ready(world.launched[1])
    assert world.serving() == [world.launched[1]]


def refuse(*places):
    """Start the first worker only."""
    yield FakeHandle(1)
    raise BlockingIOError(errno.EAGAIN, 'Resource temporarily unavailable')


def test_first_workers_without_room_are_one_line():
    supervisor = Supervisor(3, Policy(), refuse)
    with pytest.raises(FatalError, match='cannot start 3 workers: Resource temporarily unavailable; raise'):
        supervisor.start(0.0)
    assert [worker.handle.number for worker in supervisor.workers] == [1]  # to be ended


def test_shrink_while_the_worker_taken_away_is_starting(running):
    world = running(1)
    world.feed(ServerEvent.GROW)
    world.feed(ServerEvent.SHRINK)
    world.ready(world.launched[1])
    assert world.launched[1].told == [('stop', False, True)]
    world.exit(world.launched[1])
    assert world.serving() == [world.launched[0]]
    assert world.state is ServerState.RUNNING


def test_a_late_ready_does_not_undo_a_stop():
    world = World(1)
    world.feed(ServerEvent.STOP)
    world.ready(world.launched[0])
    assert world.state is ServerState.STOPPING
    world.exit(world.launched[0])
    assert world.supervisor.stopped
    assert world.supervisor.status == 0


def test_a_worker_that_the_system_does_not_let_start_is_tried_later(running, caplog):
    world = running(1, on_death=OnDeath.RESPAWN)

    def refuse(*places):
        raise OSError(11, 'Resource temporarily unavailable')

    world.supervisor.launch = refuse
    world.exit(world.launched[0])
    assert world.state is ServerState.RUNNING
    assert 'worker-1 cannot be started: Resource temporarily unavailable' in caplog.text
    world.supervisor.launch = world.launch
    world.after(succession.RETRY_EMPTY / 2)
    assert len(world.launched) == 1
    world.after(succession.RETRY_EMPTY / 2)
    world.ready(world.launched[1])
    assert world.serving() == [world.launched[1]]


def test_oldest_worker_leaves_first(running):
    world = running(2)
    world.feed(ServerEvent.RELOAD)
    for handle in list(world.launched[2:]):
        world.ready(handle)
    world.ready(world.launched[3])
    one, two, three, four = world.launched
    world.exit(one, two)
    world.supervisor.replace(world.worker(three), Reason.RSS, world.now)
    world.ready(world.launched[4])
    world.exit(three)
    world.feed(ServerEvent.SHRINK)
    assert four.told == [('stop', False, True)]
    assert world.launched[4].told == []


def test_newer_reload_replaces_a_hanging_newcomer(running):
    world = running(1, start_timeout=60)
    world.feed(ServerEvent.RELOAD)
    hanging = world.launched[1]
    world.after(10)
    world.feed(ServerEvent.RELOAD)
    assert hanging.told == [('stop', True, True)]
    world.after(life.SHORT_GRACE)
    assert hanging.told[-1] == 'kill'
    world.exit(hanging)
    world.ready(world.launched[2])
    assert world.launched[0].told == [('stop', False, True)]
    assert world.serving() == [world.launched[2]]


def test_hanging_start_is_killed_and_reload_given_up(running, caplog):
    world = running(1, start_timeout=60)
    world.feed(ServerEvent.RELOAD)
    world.after(60)
    assert world.launched[1].told == ['kill']
    assert 'worker-1 has not loaded the application within 60 seconds' in caplog.text
    world.exit(world.launched[1])
    assert 'the reload is given up' in caplog.text
    assert world.serving() == [world.launched[0]]
    assert world.state is ServerState.RUNNING


def test_stop_does_not_wait_for_a_hanging_start():
    world = World(1, kill_timeout=None)
    world.feed(ServerEvent.STOP)
    world.after(life.SHORT_GRACE)
    assert world.launched[0].told == [('stop', True, False), 'kill']


def test_late_ready_gives_the_whole_kill_timeout():
    world = World(1, kill_timeout=30)
    world.feed(ServerEvent.STOP)
    world.ready(world.launched[0])
    world.after(29)
    assert 'kill' not in world.launched[0].told
    world.after(1)
    assert world.launched[0].told[-1] == 'kill'


def test_worker_stopped_by_another_process_is_replaced(running, caplog):
    world = running(2, kill_timeout=30)
    one = world.launched[0]
    world.supervisor.leaves(world.worker(one), Reason.TERMINATED, world.now, 'SIGTERM')
    assert 'worker-1 stops: another process has sent it SIGTERM' in caplog.text
    assert len(world.launched) == 2
    world.after(life.GROUP_STOP)
    world.ready(world.launched[2])
    assert world.supervisor.counts.replaced == {Reason.TERMINATED: 1}
    world.after(30)
    assert one.told == ['kill']
    world.exit(one)
    assert world.supervisor.status == 0
    assert world.state is ServerState.RUNNING


def test_group_stop_replaces_no_worker(running):
    world = running(2)
    for handle in world.launched:
        world.supervisor.worker_event(world.worker(handle), WorkerEvent.LEAVING, world.now)
    world.feed(ServerEvent.STOP)
    world.exit(*world.launched)
    assert world.supervisor.stopped
    assert world.supervisor.status == 0
    assert len(world.launched) == 2


def test_second_interrupt_kills(running, caplog):
    caplog.set_level(logging.INFO, '_granian')
    world = running()
    world.feed(ServerEvent.INTERRUPT)
    assert 'waiting for worker-1, worker-2, at most 30 seconds; Ctrl-C again ends them' in caplog.text
    world.feed(ServerEvent.INTERRUPT)
    assert all(handle.told == [('stop', False, False), 'kill'] for handle in world.launched)


def test_quick_stop_is_passed_on(running):
    world = running()
    world.feed(ServerEvent.QUICK)
    assert all(handle.told == [('cut', False)] for handle in world.launched)
    world.after(life.SHORT_GRACE)
    assert all(handle.told[-1] == 'kill' for handle in world.launched)


@pytest.mark.parametrize('max_deaths', [None, 0])
def test_crash_loop_pauses_and_goes_on(running, caplog, max_deaths):
    world = running(1, on_death=OnDeath.RESPAWN, respawn_interval=0, max_deaths=max_deaths)
    for count in range(1, 13):
        world.exit(world.launched[-1])
        pauses = count >= deaths.QUICK_DEATHS
        assert (len(world.launched) == count) is pauses
        world.after(deaths.CRASH_PAUSE if pauses else 0)
        assert len(world.launched) == count + 1
        world.ready(world.launched[-1])
    assert caplog.text.count('worker-1 has died 5 times in a row') == 1
    assert world.serving()


def test_start_status_of_a_failure_is_the_servers():
    world = World(1)
    world.supervisor.failure_status = 4
    world.exit(world.launched[0])
    assert world.supervisor.stopped
    assert world.supervisor.status == 4


def test_resize_calls_the_hook_and_reaches_the_size(running):
    world = running(2)
    seen = []
    world.supervisor.on_resize = lambda new, old: seen.append((new, old))
    world.supervisor.resize(4, world.now)
    world.supervisor.resize(1, world.now)
    assert seen == [(3, 2), (4, 3), (3, 4), (2, 3), (1, 2)]
    assert len(world.supervisor.slots) == 1


def test_reload_to_fewer_workers_starts_only_these(running):
    world = running(3)
    world.supervisor.on_reload = lambda: world.supervisor.resize(1, world.now)
    world.feed(ServerEvent.RELOAD)
    assert len(world.launched) == 4
    world.ready(world.launched[3])
    assert world.serving() == [world.launched[3]]
    assert len(world.launched) == 4


def test_silent_worker_is_dumped_killed_and_replaced(running, caplog):
    world = running(1, silence=5)
    one = world.launched[0]
    world.supervisor.lives(world.worker(one), world.now)
    world.after(4)
    world.supervisor.lives(world.worker(one), world.now)
    world.after(4)
    assert one.told == []
    world.after(1)
    assert one.told == ['dump']
    assert 'no sign of life for 5 seconds' in caplog.text
    world.after(life.DUMP_GRACE)
    assert one.told == ['dump', 'kill']
    world.exit(one)
    world.ready(world.launched[1])
    assert world.supervisor.counts.replaced == {Reason.HANGS: 1}
    assert world.supervisor.status == 0
