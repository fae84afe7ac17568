"""The figures side by side: as text, as markdown with charts, and kept as JSON so that runs add up."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path

import charts
import goals
import startup
from cases import CASES
from charts import Bar, Group
from turns import Outcome, Ratio

COLUMNS = [
    'server',
    'req/s',
    'CPU us',
    'kernel us',
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
request, in microseconds; `kernel us` is the part of it that is spent in system calls. `ours tuned` is what
the tuned peers are compared with."""
BEGIN, END = '<!-- made by benchmarks/run.py: begin -->', '<!-- made by benchmarks/run.py: end -->'


@dataclass
class Table:
    """One case as it is shown."""

    name: str
    title: str
    columns: list[str]
    rows: list[list[str]]
    commands: list[tuple[str, str]]
    measured: str
    behind: list[tuple[float, str]] = field(default_factory=list)
    """Ratio and line for each peer that is ahead of us."""
    bars: dict[str, list[tuple[str, float, str]]] = field(default_factory=dict)
    """For each chart: server, value and text."""
    goals: list[list[str]] = field(default_factory=list)
    """A row of the table of goals each."""


def table(outcome: Outcome | startup.Outcome, measured: str) -> Table:
    case = outcome.case
    made = Table(case.name, case.load.title, [], [], [], measured)
    made.commands = list(outcome.commands.items())
    if isinstance(outcome, startup.Outcome):
        made.columns, made.rows = startup.COLUMNS, startup.rows(outcome)
        made.bars = {
            'start': [(row[0], float(row[1].split()[0]), row[1]) for row in made.rows if row[1] != '-'],
            'memory': [(row[0], float(row[2].split()[0]), row[2]) for row in made.rows if row[2] != '-'],
        }
    else:
        made.columns, made.rows = COLUMNS, rows(outcome)
        made.commands += [('load', turns[0].command) for turns in list(outcome.turns.values())[:1]]
        made.bars = {'cpu': [bar(outcome, name) for name in outcome.turns]}
    made.behind = behind(outcome)
    made.goals = goals.rows(outcome)
    return made


def bar(outcome: Outcome, name: str) -> tuple[str, float, str]:
    spent = outcome.median(name).server_cpu
    return name, 1e6 / spent if spent else 0, f'{spent:,.1f} us each'


def rows(outcome: Outcome) -> list[list[str]]:
    measured = [row(outcome, name) for name in outcome.turns]
    return measured + [[name, *'--------', reason] for name, reason in outcome.failures.items()]


def row(outcome: Outcome, name: str) -> list[str]:
    figures = outcome.median(name)
    rate, cpu = outcome.rate_ratio(name), outcome.cpu_ratio(name)
    least = outcome.case.goals.get(name)
    goal = ''
    if rate is not None and least is not None:
        goal = f'>= {least:g} {"met" if rate.median >= least else "MISSED"}'
    notes = [outcome.notes[name]] if name in outcome.notes else []
    if figures.errors:
        notes.append(f'{figures.errors} errors')
    if figures.load_cpu > 0.95:
        notes.append('load generator at its limit')
    return [
        name, f'{figures.rate:,.0f}', f'{figures.server_cpu:.1f}', f'{figures.kernel_cpu:.1f}',
        f'{figures.p50:.2f}', f'{figures.p99:.2f}', str(rate or ''), str(cpu or ''), goal, ', '.join(notes),
    ]  # fmt: skip


WITHOUT_PEERS = ('front/', 'sharing-')
"""Cases that only compare ways to run this server."""


def behind(outcome: Outcome | startup.Outcome) -> list[tuple[float, str]]:
    """Return ratio and line for each peer that beats us by either ratio."""
    words = ('time to the first answer', 'memory')
    found: list[tuple[float, str]] = []
    if outcome.case.name.startswith(WITHOUT_PEERS):
        return found
    for name in outcome.turns:
        if isinstance(outcome, startup.Outcome):
            ratios = outcome.ratios(name)
        else:
            words = ('rate', 'CPU')
            rate, cpu = outcome.rate_ratio(name), outcome.cpu_ratio(name)
            ratios = (rate, cpu) if rate and cpu else None
        if ratios and min(each.median for each in ratios) < 0.995:
            said = ', '.join(f'{each.median:.2f} by {word}' for each, word in zip(ratios, words))
            title = f'{outcome.case.name} ({outcome.case.load.title})'
            found.append((min(each.median for each in ratios), f'{title}, beside {name}: {said}'))
    return found


def text(table: Table) -> str:
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns) - 1)]
    out = [f'{table.name}: {table.title}']
    for line in lines:
        cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
        out.append('  '.join([*cells, line[-1]]).rstrip())
    return '\n'.join(out) + '\n'


def keep(table: Table, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{table.name.replace("/", ".")}.json'
    path.write_text(json.dumps(dataclasses.asdict(table), indent=1))


def kept(folder: Path) -> list[Table]:
    """Return the newest table of each case that was measured, in the order of the cases."""
    paths = [folder / f'{case.name.replace("/", ".")}.json' for case in CASES]
    return [Table(**json.loads(path.read_text())) for path in paths if path.exists()]


def markdown(tables: list[Table], about: dict[str, str], images: dict[str, str]) -> str:
    """Return the page: first where a peer is ahead."""
    lines: list[str] = []
    if ahead := sorted(pair for table in tables for pair in table.behind):
        lines += [
            '## Where a peer is ahead',
            '',
            'Below 1 the peer is ahead; the largest distance first.',
            '',
        ]
        lines += [*(f'- {line}' for _, line in ahead), '']
    lines += [line for alt, path in images.items() for line in (f'![{alt}]({path})', '')]
    lines += goal_lines(tables)
    lines += ['## How it was measured', '', *(f'- {name}: {value}' for name, value in about.items())]
    lines += ['', ABOUT, '']
    for table in tables:
        lines += [f'## {table.name}: {table.title}', '', f'{table.measured}.', '']
        lines += grid(table.columns, table.rows)
        lines += ['', *(f'- {name}: `{command}`' for name, command in table.commands), '']
    return '\n'.join(lines)


def goal_lines(tables: list[Table]) -> list[str]:
    found = [row for table in tables for row in table.goals]
    if not found:
        return []
    lines = ['## Goals', '', 'Ratios above 1: ours is better. Quartiles of the turns in brackets.', '']
    return [*lines, *grid(goals.COLUMNS, found), '']


def grid(columns: list[str], cells: list[list[str]]) -> list[str]:
    """Return a table in markdown."""
    head = ['| ' + ' | '.join(columns) + ' |', '|' + ' --- |' * len(columns)]
    return head + ['| ' + ' | '.join(row) + ' |' for row in cells]


CHARTS = {
    'applications': ('Applications: requests for a second of processor time (longer is better)', 'cpu',
                     ['django/product', 'django/shelf', 'flask/json', 'fastapi/body-model']),
    'micro': ('Small cases: requests for a second of processor time (longer is better)', 'cpu',
              ['wsgi/hello', 'wsgi/stream', 'wsgi/mixed', 'asgi/hello', 'asgi/browser', 'rsgi/hello',
               'h2-wsgi/h2', 'h2-asgi/h2', 'ws/ws-text-1', 'gevent/hello']),
    'start': ('Start to the first answer (shorter is better)', 'start',
              ['start-wsgi/one', 'start-wsgi/four-workers', 'start-asgi/one', 'start-asgi/four-workers']),
    'memory': ('Memory of all processes, PSS (shorter is better)', 'memory',
               ['start-wsgi/one', 'start-wsgi/four-workers', 'start-asgi/one', 'start-asgi/four-workers']),
}  # fmt: skip


def draw(tables: list[Table], folder: Path) -> dict[str, str]:
    """Write the charts whose cases were measured; return title and file name of each."""
    by_name = {table.name: table for table in tables}
    drawn = {}
    for name, (title, kind, cases) in CHARTS.items():
        groups = [
            Group(f'{case}: {by_name[case].title}', [Bar(*each) for each in by_name[case].bars[kind]])
            for case in cases
            if case in by_name
        ]
        if groups:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f'benchmarks-{name}.svg').write_text(charts.chart(title, groups, kind != 'cpu'))
            drawn[title] = f'benchmarks-{name}.svg'
    return drawn


def publish(page: Path, made: str) -> None:
    """Put what was made between the two marks of the page."""
    before, mark, rest = page.read_text().partition(BEGIN)
    if not mark or END not in rest:
        raise SystemExit(f'{page} has no lines "{BEGIN}" and "{END}" to write between')
    page.write_text(f'{before}{BEGIN}\n\n{made}\n{END}{rest.partition(END)[2]}')


def verdict(cpu: Ratio) -> str:
    """Say what the processor time of two commits means: three of four turns must lie beyond two percent."""
    if cpu.high < 0.98:
        return 'SLOWER'
    return 'faster' if cpu.low > 1.02 else 'no difference'


def machine() -> str:
    info = Path('/proc/cpuinfo').read_text()
    found = re.search(r'^model name\s*:\s*(.+)$', info, re.MULTILINE)
    model = found[1] if found else platform.processor()
    return f'{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}'
