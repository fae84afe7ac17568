"""A folder to serve, and heads that ask for what is in it."""

from __future__ import annotations

import os
import time

import pytest

from granian.protocol.http1.grammar import parse_head
from granian.protocol.limits import Limits
from granian.static import Mount, Mounts
from granian.static.answer import answer

OLD = time.time() - 86400


def put(path, content, when=OLD):
    """Write a file that was last modified long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (when, when))
    return path


def fill(above):
    """Make a folder to serve in the folder `above`, and beside it what must not be served."""
    root = above / 'site'
    put(root / 'hello.txt', b'hello, world\n')
    put(root / 'css' / 'a b.css', b'body {}')
    put(root / 'big.bin', bytes(range(256)) * 2048)
    put(root / 'empty.js', b'')
    put(root / '.env', b'SECRET=1')
    put(root / '.git' / 'config', b'secret')
    put(above / 'site-secret' / 'key.txt', b'secret')
    put(above / 'outside.txt', b'secret')
    return root


@pytest.fixture
def folder(tmp_path):
    """Make a folder that the test may change."""
    return fill(tmp_path)


@pytest.fixture(scope='module')
def unchanged_folder(tmp_path_factory):
    """Make a folder that the tests of a module share; none of them changes it."""
    return fill(tmp_path_factory.mktemp('static'))


class Site:
    """One mount, asked without a connection."""

    def __init__(self, folder, route='/static', **options):
        self.folder = folder
        self.mounts = Mounts([Mount(route, folder, **options)])

    def ask(self, path='/static/hello.txt', method='GET', **fields):
        lines = [f'{name.replace("_", "-")}: {value}' for name, value in fields.items()]
        head = parse_head('\r\n'.join([f'{method} {path} HTTP/1.1', 'Host: x', *lines]).encode(), Limits())
        mount = self.mounts.find(head.path)
        assert mount is not None
        return Reply(answer(head, self.mounts.look(head.path, mount)))


class Reply:
    def __init__(self, found):
        self.status = found.status
        self.fields = dict(found.fields)
        assert len(self.fields) == len(found.fields), 'a field twice'
        self.form = found.form
        self.body = found.body
        if found.form is not None:
            with open(found.form.path, 'rb') as file:
                file.seek(found.offset)
                self.body = file.read(found.length)
        if 'Content-Length' in self.fields and self.body:
            assert int(self.fields['Content-Length']) == len(self.body)


@pytest.fixture
def site(unchanged_folder):
    return Site(unchanged_folder)
