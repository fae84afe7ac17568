"""All servers of a case at once, under load in turn: the ratios of neighbouring slices.

Figures of one server move by a third with the neighbours of a machine. What two servers did within the
same few seconds does not; and processor time per request moves less than requests a second. So each turn
gives one ratio of each kind, and the report says their median and quartiles.
"""

from __future__ import annotations

import contextlib
import shlex
import statistics
import subprocess
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import load as generator
from cases import Case
from load import Figures, LoadError
from processes import StartError, running


@dataclass(frozen=True)
class Contestant:
    """One server of a case, as it is started."""

    name: str
    command: list[str]
    port: int
    env: dict[str, str]
    baseline: str = 'ours'
    """The contestant that this one is compared with."""


@dataclass(frozen=True)
class Ratio:
    """The ratios of all turns, in short."""

    median: float
    low: float
    """The lower quartile."""
    high: float
    """The upper quartile."""

    def __str__(self) -> str:
        return f'{self.median:.2f} [{self.low:.2f}-{self.high:.2f}]'


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    each = [one / other for one, other in zip(ours, theirs) if other]
    if len(each) < 2:
        return Ratio(each[0], each[0], each[0]) if each else Ratio(0, 0, 0)
    low, middle, high = statistics.quantiles(each, n=4, method='inclusive')
    return Ratio(middle, low, high)


@dataclass
class Outcome:
    """The result of one case: figures of each turn by server, or why there are none, and the commands."""

    case: Case
    turns: dict[str, list[Figures]] = field(default_factory=dict)
    baselines: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def median(self, name: str) -> Figures:
        return generator.median(self.turns[name])

    def baseline(self, name: str) -> str | None:
        """Return the name of the server that this one is compared with, if both were measured."""
        base = self.baselines.get(name, 'ours')
        return base if base != name and base in self.turns else None

    def rate_ratio(self, name: str) -> Ratio | None:
        """Return requests a second, ours to theirs: above 1 we are faster."""
        if (base := self.baseline(name)) is None:
            return None
        return ratio([one.rate for one in self.turns[base]], [one.rate for one in self.turns[name]])

    def cpu_ratio(self, name: str) -> Ratio | None:
        """Return processor time per request, theirs to ours: above 1 we spend less."""
        if (base := self.baseline(name)) is None or name not in self.turns:
            return None
        ours, theirs = self.turns[base], self.turns[name]
        return ratio([one.server_cpu for one in theirs], [one.server_cpu for one in ours])


def shown(pin: list[str], command: list[str], folder: Path) -> str:
    """Return a command line as one would type it: without the machine's folders."""
    line = shlex.join([*pin, Path(command[0]).name, *command[1:]])
    return line.replace(f'{folder}/', '')


@dataclass(frozen=True)
class Plan:
    """How a case is measured."""

    turns: int
    seconds: int
    """Length of a slice."""
    warmup: int
    server_pin: list[str]
    load_pin: list[str]
    folder: Path


def measure(case: Case, contestants: list[Contestant], plan: Plan) -> Outcome:
    """Start all, then give each a slice of load in every turn; a server that fails is left out from then."""
    outcome = Outcome(case)
    with contextlib.ExitStack() as stack:
        up: list[tuple[Contestant, subprocess.Popen[bytes]]] = []
        for contestant in contestants:
            name = contestant.name
            outcome.commands[name] = shown(plan.server_pin, contestant.command, plan.folder)
            outcome.baselines[name] = contestant.baseline
            try:
                command = [*plan.server_pin, *contestant.command]
                process = stack.enter_context(running(command, contestant.port, contestant.env))
                if case.load.tool == 'wrk':
                    generator.check(case.load, contestant.port)
                if plan.warmup:
                    slice_of_load(case, contestant, process, plan, plan.warmup)
            except (StartError, LoadError) as error:
                outcome.failures[name] = in_short(error)
                continue
            up.append((contestant, process))
        for turn in range(plan.turns):
            first = turn % max(1, len(up))
            for contestant, process in up[first:] + up[:first]:
                take_turn(case, contestant, process, plan, outcome)
        if case.load.app == 'django':
            for contestant, _ in up:
                outcome.notes[contestant.name] = f'{connections(contestant.port)} database connections'
    return outcome


def take_turn(
    case: Case, contestant: Contestant, process: subprocess.Popen[bytes], plan: Plan, outcome: Outcome
) -> None:
    name = contestant.name
    if name in outcome.failures:
        return
    try:
        figures = slice_of_load(case, contestant, process, plan, plan.seconds)
    except LoadError as error:
        outcome.failures[name] = in_short(error)
        outcome.turns.pop(name, None)
        return
    outcome.turns.setdefault(name, []).append(figures)


def slice_of_load(
    case: Case, contestant: Contestant, process: subprocess.Popen[bytes], plan: Plan, seconds: int
) -> Figures:
    return generator.measure(case.load, contestant.port, seconds, plan.load_pin, process.pid)


def in_short(error: Exception) -> str:
    return ' '.join(str(error).replace(f'{generator.HERE}/', '').split())[-300:]


def connections(port: int) -> str:
    """Ask the Django application how many database connections its server has open."""
    with urllib.request.urlopen(f'http://127.0.0.1:{port}/connections', timeout=10) as answer:
        return str(answer.read().decode())
