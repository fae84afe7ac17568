"""Time from the start of a server to its first answer, and the memory it takes: PSS, shared pages divided."""

from __future__ import annotations

import http.client
import statistics
import subprocess
import time
from dataclasses import dataclass, field

import processes
from cases import Case
from processes import StartError
from turns import Contestant, Plan, Ratio, in_short, ratio, shown

REQUESTS = 200
"""Requests on connections of their own before memory is read, so that every worker has served some."""


@dataclass
class Start:
    """One start of one server."""

    seconds: float
    total: float
    """MiB of all processes."""
    worker: float
    """MiB of a worker, the mean."""


@dataclass
class Outcome:
    case: Case
    turns: dict[str, list[Start]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)

    def ratios(self, name: str) -> tuple[Ratio, Ratio] | None:
        """Return time and memory, theirs to ours: above 1 ours is quicker and smaller."""
        if name == 'ours' or 'ours' not in self.turns:
            return None
        theirs, ours = self.turns[name], self.turns['ours']
        return (
            ratio([one.seconds for one in theirs], [one.seconds for one in ours]),
            ratio([one.total for one in theirs], [one.total for one in ours]),
        )


def measure(case: Case, contestants: list[Contestant], plan: Plan) -> Outcome:
    outcome = Outcome(case)
    for contestant in contestants:
        outcome.commands[contestant.name] = shown(plan.server_pin, contestant.command, plan.folder)
    for turn in range(plan.turns):
        first = turn % len(contestants)
        for contestant in contestants[first:] + contestants[:first]:
            if contestant.name in outcome.failures:
                continue
            try:
                start = start_once(case, contestant, plan)
            except StartError as error:
                outcome.failures[contestant.name] = in_short(error)
                outcome.turns.pop(contestant.name, None)
                continue
            outcome.turns.setdefault(contestant.name, []).append(start)
    return outcome


def start_once(case: Case, contestant: Contestant, plan: Plan) -> Start:
    process = processes.spawn(
        [*plan.server_pin, *contestant.command], cwd=processes.HERE / 'apps', env=contestant.env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    began = time.perf_counter()
    try:
        while not answers(contestant.port):
            if process.poll() is not None or time.perf_counter() - began > 30:
                raise StartError('the server did not start')
            time.sleep(0.002)
        taken = time.perf_counter() - began
        await_workers(process.pid, case.load.workers)
        for _ in range(REQUESTS):
            answers(contestant.port)
        sizes = processes.memory(process.pid)
        total, workers = sum(sizes.values()), sorted(sizes.values())[-case.load.workers :]
        return Start(taken, total / 2**20, statistics.mean(workers) / 2**20)
    finally:
        processes.stop(process)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=5)
    try:
        connection.request('GET', '/')
        return connection.getresponse().read() == b'Hello, world!'
    except (TimeoutError, OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def await_workers(pid: int, count: int) -> None:
    """Wait until all workers are there and have done starting: none has used processor time of late."""
    until = time.monotonic() + 10
    before = -1.0
    while time.monotonic() < until:
        spent = processes.processor_time(pid)
        if len(processes.tree(pid)) >= count and spent - before < 0.002:
            return
        before = spent
        time.sleep(0.1)


COLUMNS = [
    'server',
    'first answer',
    'memory',
    'a worker',
    'time: theirs/ours',
    'memory: theirs/ours',
    'notes',
]


def rows(outcome: Outcome) -> list[list[str]]:
    found = []
    for name, starts in outcome.turns.items():
        times = [one.seconds for one in starts]
        ratios = outcome.ratios(name) or ('', '')
        found.append([
            name, f'{statistics.median(times):.2f} s',
            f'{statistics.median(one.total for one in starts):.1f} MiB',
            f'{statistics.median(one.worker for one in starts):.1f} MiB',
            str(ratios[0]), str(ratios[1]), '',
        ])  # fmt: skip
    return found + [[name, *'-----', reason] for name, reason in outcome.failures.items()]
