"""Write the table of settings at the end of from-gunicorn.md: `python docs/make_gunicorn.py`."""

from __future__ import annotations

from pathlib import Path

from granian.config import OPTIONS
from granian.gunicorn.settings import REFUSE, SILENT, TABLE, WARN

PAGE = Path(__file__).parent / 'from-gunicorn.md'
BEGIN = 'that a setting becomes.\n'
EFFECTS = {SILENT: 'accepted, no effect: ', WARN: 'a warning, no effect: ', REFUSE: 'refused: '}


def page() -> str:
    """Return the page with its table as the settings are now."""
    text = PAGE.read_text(encoding='utf-8')
    head = text[: text.index(BEGIN) + len(BEGIN)]
    return f'{head}\n| gunicorn | natively | meaning |\n| --- | --- | --- |\n{"".join(map(row, TABLE))}'


def row(name: str) -> str:
    """Return a setting's line."""
    setting = TABLE[name]
    flags = ', '.join(f'`{flag}`' for flag in setting.flags)
    option = OPTIONS.get(setting.native)
    native = f'`{option.flags.split("/")[0].split()[0]}`' if option is not None and option.flags else ''
    meaning = f'{EFFECTS.get(setting.effect, "")}{setting.meaning}'
    return f'| `{name}` {flags} | {native} | {meaning} |\n'.replace('` ` ', '` ')


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')
