"""Bar charts as SVG, of the figures in the tables."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

WIDTH, LABEL, BAR, GAP, HEADING = 760, 150, 17, 4, 30
# ours is in another colour where a peer is ahead
OURS, THEIRS, BEHIND = '#2f6fab', '#b5bcc4', '#c4622d'


@dataclass(frozen=True)
class Bar:
    name: str
    value: float
    text: str


@dataclass(frozen=True)
class Group:
    """The bars of one case. The longest bar is the largest value of the group."""

    title: str
    bars: list[Bar]


def chart(title: str, groups: list[Group], less_is_better: bool = False) -> str:
    """Return an SVG of the groups, one below the other, ours in colour."""
    height = 44 + sum(HEADING + len(group.bars) * (BAR + GAP) + 10 for group in groups)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" role="img">',
        f'<title>{escape(title)}</title>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="26" font-size="15" font-weight="bold" fill="#222">{escape(title)}</text>',
    ]
    y = 44
    for group in groups:
        lines.append(f'<text x="12" y="{y + 18}" font-weight="bold" fill="#333">{escape(group.title)}</text>')
        y += HEADING
        lines += bars(group, y, less_is_better)
        y += len(group.bars) * (BAR + GAP) + 10
    return '\n'.join([*lines, '</svg>', ''])


def bars(group: Group, y: int, less_is_better: bool) -> list[str]:
    lines = []
    longest = max((bar.value for bar in group.bars), default=0) or 1
    peers = [bar.value for bar in group.bars if not bar.name.startswith('ours')]
    for bar in sorted(group.bars, key=lambda bar: bar.value, reverse=not less_is_better):
        width = max(1, round((WIDTH - LABEL - 130) * bar.value / longest))
        ours = bar.name.startswith('ours')
        ahead = any((peer < bar.value) == less_is_better and peer != bar.value for peer in peers)
        colour = (BEHIND if ahead else OURS) if ours else THEIRS
        weight = ' font-weight="bold"' if ours else ''
        text = f'y="{y + 13}" fill="#222"{weight}'
        lines += [
            f'<text x="{LABEL - 6}" text-anchor="end" {text}>{escape(bar.name)}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{width}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LABEL + width + 6}" {text}>{escape(bar.text)}</text>',
        ]
        y += BAR + GAP
    return lines
