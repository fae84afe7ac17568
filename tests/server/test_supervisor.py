"""The supervisor's decisions, without processes and with a clock that the test turns."""

import logging
from math import inf

import pytest

from granian.server import supervisor as module
from granian.server.supervisor import OnDeath, Policy, Reason, Supervisor
from granian.server.tables import Happening, Input, Life, State


class FakeHandle:
    pids = 1000

    def __init__(self, number):
        FakeHandle.pids += 1
        self.number = number
        self.pid = FakeHandle.pids
        self.told = []

    def stop(self, loading, reload):
        self.told.append(('stop', loading, reload))

    def kill(self):
        self.told.append('kill')


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

    def launch(self, number):
        handle = FakeHandle(number)
        self.launched.append(handle)
        return handle

    def reloaded(self):
        self.reloads += 1

    def member(self, handle):
        return next(member for member in self.supervisor.members if member.handle is handle)

    def ready(self, *handles):
        for handle in handles:
            self.supervisor.happened(self.member(handle), Happening.READY, self.now)

    def exit(self, *handles):
        for handle in handles:
            self.supervisor.happened(self.member(handle), Happening.EXIT, self.now)

    def feed(self, event):
        self.supervisor.feed(event, self.now)

    def after(self, seconds):
        self.now += seconds
        self.supervisor.tick(self.now)

    def serving(self):
        return [member.handle for member in self.supervisor.members if member.life is Life.SERVING]

    @property
    def state(self):
        return self.supervisor.state


@pytest.fixture
def running():
    def make(workers=2, **policy):
        world = World(workers, **policy)
        world.ready(*world.launched)
        assert world.state is State.RUNNING
        return world

    return make


def test_first_workers_are_started_together():
    world = World(3)
    assert [handle.number for handle in world.launched] == [1, 2, 3]
    world.ready(*world.launched[:2])
    assert world.state is State.STARTING
    world.ready(world.launched[2])
    assert world.state is State.RUNNING
    assert world.supervisor.next_look() == inf


def test_a_first_worker_that_does_not_start_ends_the_server():
    for on_death in (OnDeath.STOP, OnDeath.RESPAWN):
        world = World(2, on_death=on_death)
        first, second = world.launched
        world.exit(first)
        assert world.state is State.STOPPING
        assert second.told == [('stop', True, False)]
        world.exit(second)
        assert world.supervisor.stopped
        assert world.supervisor.status == 1


def test_stop(running):
    world = running()
    first, second = world.launched
    world.feed(Input.STOP)
    assert first.told == second.told == [('stop', False, False)]
    world.exit(first)
    assert not world.supervisor.stopped
    world.exit(second)
    assert world.supervisor.stopped
    assert world.supervisor.status == 0
    assert len(world.launched) == 2


def test_second_stop_loses_nothing_and_says_so(running, caplog):
    world = running()
    world.feed(Input.STOP)
    with caplog.at_level(logging.INFO, '_granian'):
        world.feed(Input.STOP)
    assert 'Already stopping: waiting for worker-1, worker-2, at most 30 seconds' in caplog.text
    assert all(handle.told == [('stop', False, False)] for handle in world.launched)


def test_kill_after_the_timeout(running, caplog):
    world = running(kill_timeout=5)
    world.feed(Input.STOP)
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
    world.feed(Input.STOP)
    assert world.supervisor.next_look() == inf
    world.after(1e6)
    assert all('kill' not in handle.told for handle in world.launched)


def test_quit_kills_at_once(running):
    world = running()
    world.feed(Input.QUIT)
    assert all(handle.told == ['kill'] for handle in world.launched)
    world.exit(*world.launched)
    assert world.supervisor.stopped
    assert world.supervisor.status == 0


def test_quit_while_stopping(running):
    world = running(kill_timeout=None)
    world.feed(Input.STOP)
    world.feed(Input.QUIT)
    assert all(handle.told == [('stop', False, False), 'kill'] for handle in world.launched)


def test_reload_one_by_one_new_before_old(running):
    world = running()
    one, two = world.launched
    world.feed(Input.RELOAD)
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
    assert world.state is State.RUNNING
    assert world.serving() == [three, four]
    assert len(world.launched) == 4
    assert world.supervisor.counts.reloads == 2


def test_reload_during_reload_replaces_what_is_already_old(running):
    world = running(1)
    world.feed(Input.RELOAD)
    world.feed(Input.RELOAD)
    two = world.launched[1]
    world.ready(two)
    three = world.launched[2]
    world.ready(three)
    assert two.told == [('stop', False, True)]
    assert world.serving() == [three]
    assert world.state is State.RUNNING
    assert len(world.launched) == 3


def test_reload_while_the_first_are_starting():
    world = World(1)
    world.feed(Input.RELOAD)
    assert len(world.launched) == 1
    world.ready(world.launched[0])
    assert len(world.launched) == 2


def test_reload_that_fails_keeps_the_old_workers(running, caplog):
    world = running()
    world.feed(Input.RELOAD)
    world.exit(world.launched[2])
    assert world.state is State.RUNNING
    assert world.serving() == world.launched[:2]
    assert len(world.launched) == 3
    assert all(handle.told == [] for handle in world.launched)
    assert [record.levelname for record in caplog.records].count('ERROR') == 1
    world.after(1000)
    assert len(world.launched) == 3
    world.feed(Input.RELOAD)
    assert len(world.launched) == 4


def test_stop_during_reload(running):
    world = running()
    world.feed(Input.RELOAD)
    world.feed(Input.STOP)
    assert world.launched[2].told == [('stop', True, False)]
    world.exit(*world.launched)
    assert world.supervisor.stopped
    assert world.supervisor.status == 0


def test_death_without_respawn_ends_the_server(running):
    world = running()
    world.after(1000)
    world.exit(world.launched[0])
    assert world.state is State.STOPPING
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
        if world.state is State.RENEWING:
            world.ready(world.launched[-1])
    assert not world.supervisor.members
    assert world.state is State.RUNNING  # waits for the interval
    world.feed(Input.RELOAD)
    assert len(world.supervisor.members) == 1


def test_crash_loop(running, caplog):
    world = running(1, on_death=OnDeath.RESPAWN, respawn_interval=0)
    for _ in range(module.MAX_RAPID_DEATHS - 1):
        world.exit(world.launched[-1])
        assert world.state is State.RENEWING
        world.ready(world.launched[-1])
        world.after(module.RAPID - 0.1)
    world.exit(world.launched[-1])
    assert world.supervisor.stopped
    assert world.supervisor.status == 1
    assert 'worker-1 has died 5 times in a row' in caplog.text


def test_deaths_far_apart_are_no_crash_loop(running):
    world = running(1, on_death=OnDeath.RESPAWN, respawn_interval=0)
    for _ in range(20):
        world.after(module.RAPID + 0.1)
        world.exit(world.launched[-1])
        world.ready(world.launched[-1])
    assert world.state is State.RUNNING


def test_respawned_worker_that_never_starts_is_a_crash_loop(running, caplog):
    world = running(2, on_death=OnDeath.RESPAWN, respawn_interval=2)
    two = world.launched[1]
    world.after(1000)
    world.exit(world.launched[0])
    for _ in range(module.MAX_RAPID_DEATHS - 1):
        world.exit(world.launched[-1])
        assert world.state is State.RUNNING
        world.after(2)
        assert world.state is State.RENEWING
    world.exit(world.launched[-1])
    assert two.told == [('stop', False, False)]
    world.exit(two)
    assert world.supervisor.status == 1


def test_wait_for_the_next_reload():
    world = World(1, on_death=OnDeath.WAIT)
    world.exit(world.launched[0])
    world.after(1000)
    assert world.state is State.RUNNING
    assert len(world.launched) == 1
    world.feed(Input.RELOAD)
    world.exit(world.launched[1])
    world.after(1000)
    assert len(world.launched) == 2
    world.feed(Input.RELOAD)
    world.ready(world.launched[2])
    world.exit(world.launched[2])
    world.after(1000)
    assert len(world.launched) == 3
    world.feed(Input.STOP)
    assert world.supervisor.stopped


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
    assert world.supervisor.counts.lifetime == 1
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


@pytest.mark.parametrize(('reason', 'count'), [(Reason.RSS, 'rss'), (Reason.REQUESTS, 'requests')])
def test_replaced_for_a_reason(running, reason, count):
    world = running(respawn_interval=0)
    one, two = world.launched
    world.supervisor.replace(world.member(two), reason, world.now)
    world.supervisor.replace(world.member(two), reason, world.now)
    three = world.launched[2]
    assert three.number == 2
    world.ready(three)
    assert two.told == [('stop', False, True)]
    assert world.serving() == [one, three]
    assert getattr(world.supervisor.counts, count) == 1
    assert world.state is State.RUNNING
    assert len(world.launched) == 3


def test_replacement_that_fails_is_tried_again_later(running, caplog):
    world = running(1)
    one = world.launched[0]
    world.supervisor.replace(world.member(one), Reason.RSS, world.now)
    world.exit(world.launched[1])
    assert 'did not start: the old one goes on' in caplog.text
    assert one.told == []
    world.after(module.RETRY - 1)
    assert len(world.launched) == 2
    world.after(1)
    assert len(world.launched) == 3


def test_old_worker_that_dies_while_its_successor_starts(running):
    world = running(1)
    world.feed(Input.RELOAD)
    world.exit(world.launched[0])
    assert world.state is State.RENEWING
    world.ready(world.launched[1])
    assert world.serving() == [world.launched[1]]
    assert world.supervisor.status == 0


def test_grow_and_shrink(running, caplog):
    caplog.set_level(logging.INFO, '_granian')
    world = running()
    world.feed(Input.GROW)
    three = world.launched[2]
    assert three.number == 3
    world.ready(three)
    world.feed(Input.SHRINK)
    assert three.told == [('stop', False, True)]
    world.exit(three)
    assert world.state is State.RUNNING
    world.feed(Input.SHRINK)
    world.exit(world.launched[1])
    world.feed(Input.SHRINK)
    assert 'The last worker stays' in caplog.text
    assert world.serving() == [world.launched[0]]
    assert world.supervisor.status == 0


def test_shrink_while_the_worker_taken_away_is_starting(running):
    world = running(1)
    world.feed(Input.GROW)
    world.feed(Input.SHRINK)
    world.ready(world.launched[1])
    assert world.launched[1].told == [('stop', False, True)]
    world.exit(world.launched[1])
    assert world.serving() == [world.launched[0]]
    assert world.state is State.RUNNING


def test_a_late_ready_does_not_undo_a_stop():
    world = World(1)
    world.feed(Input.STOP)
    world.ready(world.launched[0])
    assert world.state is State.STOPPING
    world.exit(world.launched[0])
    assert world.supervisor.stopped
    assert world.supervisor.status == 0


def test_a_worker_that_the_system_does_not_let_start_is_tried_later(running, caplog):
    world = running(1, on_death=OnDeath.RESPAWN)

    def refuse(number):
        raise OSError(11, 'Resource temporarily unavailable')

    world.supervisor.launch = refuse
    world.exit(world.launched[0])
    assert world.state is State.RUNNING
    assert 'worker-1 cannot be started: Resource temporarily unavailable' in caplog.text
    world.supervisor.launch = world.launch
    world.after(module.RETRY - 1)
    assert len(world.launched) == 1
    world.after(1)
    world.ready(world.launched[1])
    assert world.serving() == [world.launched[1]]
