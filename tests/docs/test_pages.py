"""The pages say what is: their links lead somewhere, their commands parse, their code compiles."""

from __future__ import annotations

import ast
import json
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from granian.cli import cli, with_flag_values
from granian.config import OPTIONS
from granian.gunicorn.settings import TABLE

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / 'docs').glob('*.md'))
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *DOCS]
DEPLOY = sorted(path for path in (ROOT / 'examples' / 'deploy').iterdir() if path.is_file())

_FENCE = re.compile(r'^```(\w*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_LINK = re.compile(r'(?<!!)\[[^\]]*\]\(([^)\s]+)\)')
_HEADING = re.compile(r'^#+ (.+)$', re.MULTILINE)
_FLAG = re.compile(r'`(--[a-z][a-z0-9-]*)')
_GUNICORNS = re.compile(r'^\| (.+?) \| (.+?) \|', re.MULTILINE)


def prose(page: Path) -> str:
    return _FENCE.sub('', page.read_text(encoding='utf-8'))


def blocks(page: Path, *languages: str) -> list[str]:
    found = _FENCE.findall(page.read_text(encoding='utf-8'))
    return [text for language, text in found if language in languages]


def slugs(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as MkDocs and GitHub make them."""
    plain = (re.sub(r'[^\w\s-]', '', title).strip().lower() for title in _HEADING.findall(prose(page)))
    return {re.sub(r'[\s-]+', '-', title) for title in plain}


def commands(text: str) -> Iterator[list[str]]:
    """Return the words after `granian` of each command in the text of a shell or a unit."""
    for line in joined(text).splitlines():
        found = re.search(r'(?:^|[$=&] |=|/)(?:\S*/)?granian (--\S.*|\S+:\S+.*)$', line.strip())
        if found:
            yield shlex.split(found[1], comments=True)


def parse(words: list[str]) -> None:
    """Raise click.UsageError for what the command line would refuse; files need not exist."""
    context = click.Context(cli, info_name='granian')
    given, rest, order = cli.make_parser(context).parse_args(list(with_flag_values(words)))
    for param in order:
        value = given.get(param.name or '')
        if isinstance(param, click.Option) and not isinstance(param.type, click.Path):
            for item in value if isinstance(value, list) else [value]:
                param.type.convert(item, param, context)
    if rest:
        raise click.UsageError(f'too many words: {rest}')
    if not isinstance(given.get('app'), str):
        raise click.UsageError('no APP')


def cases(*languages: str) -> list[object]:
    return [
        pytest.param(text, id=f'{page.stem}-{number}')
        for page in PAGES
        for number, text in enumerate(blocks(page, *languages))
    ]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_commands_can_be_copied_and_fit_their_column(page: Path) -> None:
    """Find no prompt before a command, and in docs/ no line of code that is wider than the page shows."""
    assert not re.findall(r'^\$ .*', page.read_text(encoding='utf-8'), re.MULTILINE)
    for width, languages in ((75, ['sh']), (88, ['python', 'json', 'yaml', 'promql'])):
        lines = [line for text in blocks(page, *languages) for line in text.splitlines()]
        assert page not in DOCS or [line for line in lines if len(line) > width] == []


def test_words_of_inline_code_break_at_no_dash() -> None:
    hook = runpy.run_path(str(ROOT / 'docs' / 'whole_words.py'))['on_page_content']
    page = '<li><code>granian --log-level info</code></li><pre><code>granian --log-level info</code></pre>'
    whole = '<li><code>granian <span class="whole">--log-level</span> info</code></li>'
    assert hook(page) == whole + '<pre><code>granian --log-level info</code></pre>'
    assert 'whole_words.py' in (ROOT / 'mkdocs.yml').read_text()
    assert '.whole' in (ROOT / 'docs' / 'style.css').read_text()


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if re.match(r'[a-z]+:', link):
            continue
        name, _, anchor = link.partition('#')
        target = page.parent / name if name else page
        assert target.exists(), link
        if page in DOCS:
            assert target.parent == page.parent, f'{link}: MkDocs knows the pages in docs/ only'
        if anchor:
            assert anchor in slugs(target), link


def test_the_navigation_names_every_page() -> None:
    text = (ROOT / 'mkdocs.yml').read_text(encoding='utf-8')
    named = re.findall(r'^ +- (?:.+: )?([\w-]+\.md)$', text, re.MULTILINE)
    assert len(named) == len(set(named))
    assert all((ROOT / 'docs' / name).is_file() for name in named)


@pytest.mark.parametrize('text', cases('sh', 'console'))
def test_commands_parse(text: str) -> None:
    for words in commands(text):
        parse(words)


def test_commands_are_found() -> None:
    """Find commands, and refuse a wrong one, so that the test above cannot pass without any."""
    found = [words for page in PAGES for text in blocks(page, 'sh', 'console') for words in commands(text)]
    assert len(found) > 20
    for wrong in ('--wrokers 2 app:app', '--workers 0 app:app', '--interface wsgi', '--port 1 app:app more'):
        (words,) = commands(f'$ granian {wrong}')
        with pytest.raises(click.UsageError):
            parse(words)


@pytest.mark.parametrize('path', DEPLOY, ids=lambda path: path.name)
def test_deployment_files(path: Path) -> None:
    text = path.read_text(encoding='utf-8')
    in_json = re.findall(r'^CMD (\[.*)$', joined(text), re.MULTILINE)
    found = list(commands(text)) or [json.loads(line)[1:] for line in in_json]
    assert found or path.suffix == '.conf'
    for words in found:
        parse(words)
    for name in re.findall(r'GRANIAN_[A-Z0-9_]+', text):
        assert name in {option.env for option in OPTIONS.values()}


def joined(text: str) -> str:
    return re.sub(r'\\\n\s*', ' ', text)


@pytest.mark.parametrize('text', cases('python'))
def test_python_compiles(text: str) -> None:
    compile(text, 'a page', 'exec', flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize('text', cases('json'))
def test_json_is_json(text: str) -> None:
    json.loads(text)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_options_exist(page: Path) -> None:
    flags = {flag for option in OPTIONS.values() for flag in option.flags.replace(' ', '').split('/')}
    flags |= {'--help', '--init', '--ciphers'}  # of other programs
    if page.stem == 'from-gunicorn':
        flags |= {flag for setting in TABLE.values() for flag in setting.flags}
    text = prose(page)
    if page.stem == 'from-gunicorn':
        # The first column is gunicorn's.
        text = _GUNICORNS.sub(lambda row: row[2], text)
    for flag in _FLAG.findall(text):
        assert flag in flags, flag


def test_the_gunicorn_table_is_about_gunicorn() -> None:
    """Look each option in the first column up in gunicorn."""
    settings = pytest.importorskip('gunicorn.config').KNOWN_SETTINGS
    known = {flag for setting in settings for flag in setting.cli or ()}
    rows = _GUNICORNS.findall(prose(ROOT / 'docs' / 'from-gunicorn.md'))
    named = {flag for first, _ in rows for flag in re.findall(r'`(-{1,2}[A-Za-z][\w-]*)', first)}
    assert len(named) > 40
    assert named <= known, named - known
