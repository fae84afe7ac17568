"""The figures side by side: as text on the terminal, as markdown in a file."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path

from turns import Outcome, Ratio

COLUMNS = [
    'server',
    'req/s',
    'CPU us',
    'p50 ms',
    'p99 ms',
    'rate: ours/theirs',
    'CPU: theirs/ours',
    'goal',
    'notes',
]
ABOUT = """All servers of a case are up at once and get slices of load in turn, so that each turn gives two
ratios: of requests a second (ours to theirs) and of processor time per request (theirs to ours). Above 1 we
are better, in both. A ratio is the median of the turns, with the quartiles in brackets; the other figures
are medians. `CPU us` is the processor time that a server, with all its threads and children, spent on each
request, in microseconds."""


def rows(outcome: Outcome) -> list[list[str]]:
    measured = [row(outcome, name) for name in outcome.turns]
    return measured + [[name, *'-------', reason] for name, reason in outcome.failures.items()]


def row(outcome: Outcome, name: str) -> list[str]:
    figures = outcome.median(name)
    rate, cpu = outcome.rate_ratio(name), outcome.cpu_ratio(name)
    least = outcome.case.goals.get(name)
    goal = ''
    if rate is not None and least is not None:
        goal = f'>= {least:g} {"met" if rate.median >= least else "MISSED"}'
    notes = []
    if figures.errors:
        notes.append(f'{figures.errors} errors')
    if figures.load_cpu > 0.95:
        notes.append('load generator at its limit')
    return [
        name, f'{figures.rate:,.0f}', f'{figures.server_cpu:.1f}', f'{figures.p50:.2f}',
        f'{figures.p99:.2f}', str(rate or ''), str(cpu or ''), goal, ', '.join(notes),
    ]  # fmt: skip


def text(outcome: Outcome) -> str:
    table = [COLUMNS, *rows(outcome)]
    widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS) - 1)]
    lines = [f'{outcome.case.name}: {outcome.case.load.title}']
    for line in table:
        cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
        lines.append('  '.join([*cells, line[-1]]).rstrip())
    return '\n'.join(lines) + '\n'


def slower(outcomes: Iterable[Outcome]) -> list[str]:
    """Return a line for each peer that beats us by either ratio, the worst first."""
    found = []
    for outcome in outcomes:
        for name in outcome.turns:
            rate, cpu = outcome.rate_ratio(name), outcome.cpu_ratio(name)
            if rate is not None and cpu is not None and min(rate.median, cpu.median) < 0.995:
                title = f'{outcome.case.name} ({outcome.case.load.title})'
                line = f'- {title}, beside {name}: {rate.median:.2f} by rate, {cpu.median:.2f} by CPU'
                found.append((min(rate.median, cpu.median), line))
    return [line for _, line in sorted(found)]


def markdown(outcomes: list[Outcome], about: dict[str, str]) -> str:
    lines = [*(f'- {name}: {value}' for name, value in about.items()), '', ABOUT, '']
    if behind := slower(outcomes):
        lines += ['## Where a peer is ahead', '', *behind, '']
    for outcome in outcomes:
        lines += [f'## {outcome.case.name}: {outcome.case.load.title}', '']
        lines += ['| ' + ' | '.join(COLUMNS) + ' |', '|' + ' --- |' * len(COLUMNS)]
        lines += ['| ' + ' | '.join(cells) + ' |' for cells in rows(outcome)]
        lines += ['', *(f'- {name}: `{command}`' for name, command in commands(outcome)), '']
    return '\n'.join(lines)


def commands(outcome: Outcome) -> list[tuple[str, str]]:
    """Return the command lines of the servers measured, and of the load."""
    load = next((turns[0].command for turns in outcome.turns.values()), None)
    return [*outcome.commands.items(), *([('load', load)] if load else [])]


def verdict(cpu: Ratio) -> str:
    """Say what the processor time of two commits means: half of the turns must lie beyond two percent."""
    if cpu.high < 0.98:
        return 'SLOWER'
    return 'faster' if cpu.low > 1.02 else 'no difference'


def machine() -> str:
    model = next(
        (
            line.partition(':')[2].strip()
            for line in Path('/proc/cpuinfo').read_text().splitlines()
            if line.startswith('model name')
        ),
        platform.processor(),
    )
    return f'{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}'
