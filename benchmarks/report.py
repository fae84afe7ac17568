"""The figures side by side: as text on the terminal, as markdown in a file."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cases import Case
from load import Figures


@dataclass
class Outcome:
    """What came of one case: medians by server, or why there are none, and the command lines."""

    case: Case
    figures: dict[str, Figures] = field(default_factory=dict)
    rounds: dict[str, list[Figures]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)


COLUMNS = [
    'server',
    'req/s',
    'min-max',
    'p50 ms',
    'p99 ms',
    'CPU us',
    'ours/peer',
    'p99 ours/peer',
    'goal',
    'notes',
]


def rows(outcome: Outcome) -> list[list[str]]:
    ours = outcome.figures.get('ours')
    return [
        row(outcome, name, figures, ours if name != 'ours' else None)
        for name, figures in outcome.figures.items()
    ] + [[name, *'--------', reason] for name, reason in outcome.failures.items()]


def row(outcome: Outcome, name: str, figures: Figures, ours: Figures | None) -> list[str]:
    rates = [one.rate for one in outcome.rounds[name]]
    ratio = p99_ratio = goal = ''
    if ours is not None and figures.rate:
        ratio, p99_ratio = f'{ours.rate / figures.rate:.2f}', f'{ours.p99 / figures.p99:.2f}'
        if (least := outcome.case.goals.get(name)) is not None:
            goal = f'>= {least:g} {"met" if ours.rate / figures.rate >= least else "MISSED"}'
    notes = []
    if figures.errors:
        notes.append(f'{figures.errors} errors')
    if figures.load_cpu > 0.95:
        notes.append('load generator at its limit')
    return [
        name, f'{figures.rate:,.0f}', f'{min(rates):,.0f}-{max(rates):,.0f}', f'{figures.p50:.2f}',
        f'{figures.p99:.2f}', f'{figures.server_cpu:.1f}', ratio, p99_ratio, goal, ', '.join(notes),
    ]  # fmt: skip


def text(outcome: Outcome) -> str:
    table = [COLUMNS, *rows(outcome)]
    widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS) - 1)]
    lines = [f'{outcome.case.name}: {outcome.case.load.title}']
    for line in table:
        cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
        lines.append('  '.join([*cells, line[-1]]).rstrip())
    return '\n'.join(lines) + '\n'


def markdown(outcomes: Iterable[Outcome], about: dict[str, str]) -> str:
    lines = ['# Benchmark', '', *(f'- {name}: {value}' for name, value in about.items()), '']
    lines += [
        'Rounds are interleaved: each round measures every server once. Figures are medians of the',
        'rounds, min-max their spread. `ours/peer` is requests a second (above 1: ours is faster),',
        '`p99 ours/peer` the 99th percentile of the response time (below 1: ours is quicker),',
        '`CPU us` the microseconds of processor time the server spent on each request.',
    ]
    for outcome in outcomes:
        lines += ['', f'## {outcome.case.name}: {outcome.case.load.title}', '']
        lines += ['| ' + ' | '.join(COLUMNS) + ' |', '|' + ' --- |' * len(COLUMNS)]
        lines += ['| ' + ' | '.join(cells) + ' |' for cells in rows(outcome)]
        lines += ['', *(f'- {name}: `{command}`' for name, command in commands(outcome))]
    return '\n'.join(lines) + '\n'


def commands(outcome: Outcome) -> list[tuple[str, str]]:
    """The command lines of the servers measured, and of the load."""
    load = next((figures.command for figures in outcome.figures.values()), None)
    return [*outcome.commands.items(), *([('load', load)] if load else [])]


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
