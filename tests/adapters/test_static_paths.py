"""From request paths to names: wire-safety's rows S-S-01, -02, -04 and -05."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from granian.static.paths import inside, names
from tests.support.rows import rows

HOSTILE = [
    '/..', '/../outside.txt', '/../../../../etc/passwd', '/css/../../outside.txt', '/./hello.txt', '/.',
    '/%2e%2e/outside.txt', '/%2E%2e/outside.txt', '/.%2e/outside.txt', '/%2e/hello.txt',
    '/..%2foutside.txt', '/%2e%2e%2foutside.txt', '/css%2fa%20b.css', '/..%5coutside.txt', '/..\\outside.txt',
    '/css\\a', '/%5c%5chost%5cshare', '//etc/passwd', '///etc/passwd', '/css//a%20b.css', '/%2fetc/passwd',
    '//', '/css//',
    '/hello.txt%00', '/%00', '/hello.txt%00.css', '/a\x00b',
    '/%c0%ae%c0%ae/outside.txt', '/%c0%af', '/%e0%80%ae', '/%ff', '/%ed%a0%80',
    '/%', '/%2', '/%zz', '/a%u002e',
    '/.env', '/.git/config', '/css/.hidden', '/%2egit/config',
]  # fmt: skip


@rows('path', HOSTILE)
def test_refused(path):
    assert names(path, dotfiles=False) is None


def test_decoded_once():
    assert names('/%252e%252e/x', dotfiles=False) == ['%2e%2e', 'x']
    assert names('/a%2520b', dotfiles=False) == ['a%20b']


@rows(
    ('path', 'expected'),
    [
        ('', []),
        ('/', []),
        ('/a', ['a']),
        ('/a/', ['a']),
        ('/a/b.c', ['a', 'b.c']),
        ('/a%20b/%C3%A9%e2%82%ac', ['a b', 'é€']),
        ('/...', None),
        ('/a..b/c.', ['a..b', 'c.']),
        ('/100%25', ['100%']),
        ('/a:b', ['a:b']),
    ],
)
def test_names(path, expected):
    assert names(path, dotfiles=False, windows=False) == expected


def test_dot_files_where_asked_for():
    assert names('/.well-known/x', dotfiles=True) == ['.well-known', 'x']
    for path in ('/..', '/.', '/../x', '/%2e%2e/x', '/a/./b'):
        assert names(path, dotfiles=True) is None


@rows(
    'name',
    ['C:', 'C:x', 'file::$DATA', 'file.', 'file%20', 'file.%20.', 'CON', 'con', 'nul.txt', 'Aux.tar.gz',
     'COM1', 'lpt9.txt', 'com%C2%B9', 'CONIN$', 'a*b', 'a?b', 'a|b', 'a%3Cb', 'a%22', 'a%01', 'a%0a',
     'prn%20.txt'],
)  # fmt: skip
def test_windows(name):
    assert names(f'/{name}', dotfiles=True, windows=True) is None
    assert names(f'/dir/{name}/x', dotfiles=True, windows=True) is None


@rows('name', ['console', 'nulls.txt', 'com10', 'a.b', 'auxiliary.js'])
def test_good_windows_names(name):
    assert names(f'/{name}', dotfiles=False, windows=True) == [name]


def test_components_not_characters():
    assert inside('/srv/static', '/srv/static/a')
    assert inside('/srv/static', '/srv/static')
    assert inside('/', '/etc')
    assert not inside('/srv/static', '/srv/static-secret/a')
    assert not inside('/srv/static', '/srv')


PIECES = ['..', '.', '', 'a', '%2e', '%2f', '%5c', '/', '\\', '%00', '%', '~', 'é', ' ']


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_what_is_let_through_stays_below(pieces):
    found = names('/' + ''.join(quote(p, safe='/%.\\~') for p in pieces), dotfiles=True)
    if found is not None:
        path = PurePosixPath('/root', *found)
        assert '..' not in path.parts
        assert len(path.parts) == len(found) + 2


@given(st.text(min_size=1, max_size=20).filter(lambda t: not set(t) & set('/\\\0') and t[0] != '.'))
def test_any_name_comes_back(name):
    try:
        quoted = quote(name, safe='')
    except UnicodeEncodeError:  # a lone surrogate
        return
    assert names(f'/{quoted}', dotfiles=False, windows=False) == [name]
