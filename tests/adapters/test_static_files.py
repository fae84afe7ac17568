"""What the mounts find on the disk, and what they remember of it."""

from __future__ import annotations

import os
import time

import pytest

from granian.static import Mount, Mounts, files
from granian.static.files import Representation
from tests.support.rows import rows
from tests.support.static_site import OLD, Site, put


def load(mounts, path):
    mount = mounts.find(path)
    assert mount is not None
    return mounts.look(path, mount)


@rows(
    'path',
    ['/static/../outside.txt', '/static/%2e%2e/outside.txt', '/static/..%2foutside.txt',
     '/static//etc/passwd', '/static/../site-secret/key.txt', '/static/hello.txt/', '/static/hello.txt/x',
     '/static/hello.txt%00', '/static/' + 'x' * 5000, '/static/' + 'x/' * 3000, '/static/.env',
     '/static/.git/config', '/static/no', '/static/css', '/static/css/', '/static', '/static/'],
)  # fmt: skip
def test_not_found(site, path):
    assert load(site.mounts, path) is None


def test_routes_are_compared_by_components(folder):
    mounts = Mounts([Mount('/static', folder)])
    assert mounts.prefixes == ('/static',)
    assert mounts.find('/static') is not None
    assert mounts.find('/static/x') is not None
    for path in ('/static-secret/x', '/statics', '/', '/stati', '/Static/x', '//static/x', '*'):
        assert mounts.find(path) is None
        assert not mounts.covers(path)


def test_the_longest_route_wins(folder, tmp_path):
    put(tmp_path / 'other' / 'hello.txt', b'other')
    mounts = Mounts([Mount('/a', folder), Mount('/a/b', tmp_path / 'other'), Mount('/', folder)])
    assert load(mounts, '/a/b/hello.txt').forms[0].body == b'other'
    assert load(mounts, '/a/hello.txt').forms[0].body == b'hello, world\n'
    assert load(mounts, '/hello.txt').forms[0].body == b'hello, world\n'
    assert load(mounts, '/css/a%20b.css').forms[0].body == b'body {}'
    assert load(mounts, '/../outside.txt') is None


def test_a_file_for_a_folder(folder):
    put(folder / 'index.html', b'<root>')
    put(folder / 'css' / 'index.html', b'<css>')
    site = Site(folder, index='index.html')
    for path, body in (('', b'<root>'), ('/', b'<root>'), ('/css', b'<css>'), ('/css/', b'<css>')):
        reply = site.ask('/static' + path)
        assert (reply.status, reply.body) == (200, body)
        assert reply.fields['Content-Type'] == 'text/html; charset=utf-8'
    (folder / 'none').mkdir()
    assert site.ask('/static/none/').status == 404
    assert site.ask('/static/hello.txt/').status == 404
    (folder / 'none' / 'index.html').mkdir()
    assert site.ask('/static/none/').status == 404


def test_index_with_siblings(folder):
    put(folder / 'index.html', b'<root>')
    put(folder / 'index.html.gz', b'GZ')
    reply = Site(folder, index='index.html', precompressed=True).ask('/static/', Accept_Encoding='gzip')
    assert (reply.body, reply.fields['Content-Encoding']) == (b'GZ', 'gzip')


def test_dot_files_where_asked_for(folder):
    site = Site(folder, dotfiles=True)
    assert site.ask('/static/.env').status == 200
    assert site.ask('/static/.git/config').status == 200
    assert site.ask('/static/../outside.txt').status == 404


def test_links_inside_are_followed_and_links_out_are_not(folder, tmp_path):
    """Refuse links that lead out of the folder (S-S-03, aiohttp's CVE-2024-23334)."""
    os.symlink('hello.txt', folder / 'inside.txt')
    os.symlink(tmp_path / 'outside.txt', folder / 'out.txt')
    os.symlink('../outside.txt', folder / 'out2.txt')
    os.symlink(tmp_path, folder / 'up')
    os.symlink(tmp_path / 'site-secret', folder / 'sibling')
    os.symlink('circle', folder / 'circle')
    site = Site(folder)
    assert site.ask('/static/inside.txt').body == b'hello, world\n'
    for path in ('out.txt', 'out2.txt', 'up/outside.txt', 'up/site/hello.txt/../../outside.txt', 'circle',
                 'sibling/key.txt'):  # fmt: skip
        assert site.ask(f'/static/{path}').status == 404
    put(folder / 'index.html', b'x')
    (folder / 'd').mkdir()
    os.symlink(tmp_path / 'outside.txt', folder / 'd' / 'index.html')
    assert Site(folder, index='index.html').ask('/static/d/').status == 404


def test_a_mount_that_is_a_link_may_be_switched(tmp_path, folder):
    """Switch the link as deployments do: `ln -sfn release-2 current`."""
    put(tmp_path / 'second' / 'hello.txt', b'second')
    current = tmp_path / 'current'
    current.symlink_to(folder)
    site = Site(current)
    assert site.ask().body == b'hello, world\n'
    current.unlink()
    current.symlink_to(tmp_path / 'second')
    assert site.ask().body == b'second'


def test_only_regular_files(folder):
    """Refuse a FIFO, which would hold the thread until a process writes to it (S-S-09)."""
    os.mkfifo(folder / 'fifo')
    site = Site(folder)
    assert site.ask('/static/fifo').status == 404
    with pytest.raises(FileNotFoundError):
        files.open_regular(str(folder / 'fifo'))
    # Even when it takes a file's place between stat and open.
    with pytest.raises(FileNotFoundError):
        files.open_regular(str(folder / 'fifo'), os.stat(folder / 'hello.txt'))


def test_a_link_that_takes_the_place_of_a_file_is_not_followed(folder, tmp_path):
    status = os.stat(folder / 'hello.txt')
    (folder / 'hello.txt').unlink()
    (folder / 'hello.txt').symlink_to(tmp_path / 'outside.txt')
    with pytest.raises(OSError, match='hello'):
        files.open_regular(str(folder / 'hello.txt'), status)


def test_what_may_not_be_read(folder, monkeypatch):
    def refuse(*args, **more):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(files, 'open_regular', refuse)
    assert Site(folder).ask().status == 404


# What is remembered


def test_nothing_is_read_twice(site):
    path = '/static/hello.txt'
    first = load(site.mounts, path)
    assert site.mounts.remembered(path) is first
    second = load(site.mounts, path)
    assert second is first


@pytest.mark.parametrize('name', ['hello.txt', 'big.bin'])
def test_a_change_is_seen(folder, name):
    site = Site(folder)
    before = site.ask(f'/static/{name}')
    content = before.body[::-1]
    for when in (time.time(), OLD + 1):
        put(folder / name, content, when)
        after = site.ask(f'/static/{name}')
        assert after.body == content
        assert after.fields['ETag'] != before.fields['ETag']
        assert after.fields['Last-Modified'] != before.fields['Last-Modified']


def test_a_change_that_leaves_size_and_time_of_modification_is_seen(folder):
    """See a change by `rsync -t` or `tar x` by the inode's own time of change."""
    site = Site(folder)
    before = site.ask()
    put(folder / 'hello.txt', b'HELLO, WORLD\n')
    after = site.ask()
    assert after.body == b'HELLO, WORLD\n'
    assert after.fields['ETag'] != before.fields['ETag']


def test_a_file_changed_a_moment_ago_is_read_again(folder, monkeypatch):
    """Read a recent file again: two writes within one tick of the file system's clock look the same."""
    path = put(folder / 'hello.txt', b'one', time.time())
    site = Site(folder)
    assert site.ask().body == b'one'
    path.write_bytes(b'two')
    first = os.stat(path)
    monkeypatch.setattr(files, 'signature', lambda status: (0, 0, 3, first.st_mtime_ns, 0))
    site.mounts = Mounts([Mount('/static', folder)])
    assert site.ask().body == b'two'
    path.write_bytes(b'six')
    assert site.ask().body == b'six'


def test_what_is_gone_is_not_remembered(folder):
    site = Site(folder)
    site.ask()
    (folder / 'hello.txt').unlink()
    assert site.ask().status == 404
    assert site.mounts.remembered('/static/hello.txt') is None
    put(folder / 'hello.txt', b'back')
    assert site.ask().body == b'back'


def test_a_sibling_that_comes_and_goes(folder):
    site = Site(folder, precompressed=True)
    assert site.ask(Accept_Encoding='gzip').body == b'hello, world\n'
    put(folder / 'hello.txt.gz', b'GZ')
    assert site.ask(Accept_Encoding='gzip').body == b'GZ'
    (folder / 'hello.txt.gz').unlink()
    reply = site.ask(Accept_Encoding='gzip')
    assert (reply.body, 'Vary' in reply.fields) == (b'hello, world\n', False)


def test_remembered_for_less_than_a_second(site, monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(files, 'monotonic', lambda: now)
    load(site.mounts, '/static/hello.txt')
    now += 0.4
    assert site.mounts.remembered('/static/hello.txt') is not None
    now += 0.2
    assert site.mounts.remembered('/static/hello.txt') is None
    load(site.mounts, '/static/hello.txt')
    assert site.mounts.remembered('/static/hello.txt') is not None
    assert files.RECENT < 1


def test_memory_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(files, 'MOST_ENTRIES', 5)
    monkeypatch.setattr(files, 'MOST_BYTES', 250)
    site = Site(folder)
    for number in range(20):
        put(folder / f'{number}.txt', b'x' * 100)
        assert site.ask(f'/static/{number}.txt').status == 200
        assert sum(f.size for f in site.mounts._files.values()) == site.mounts._bytes <= 250
    for number in range(20):
        put(folder / f'{number}.txt', b'')
        assert site.ask(f'/static/{number}.txt').status == 200
        assert len(site.mounts._files) <= 5
    for number in range(20):
        site.ask(f'/static/no-{number}.txt')
    assert all('no-' not in path for path in site.mounts._files)


def test_etags(folder):
    """Make the ETag of a small file from its content, of a big one from time and size."""
    put(folder / 'copy.txt', b'hello, world\n', OLD - 100)
    site = Site(folder)
    assert site.ask().fields['ETag'] == site.ask('/static/copy.txt').fields['ETag']
    path = put(folder / 'big2.bin', (folder / 'big.bin').read_bytes(), OLD - 100)
    assert site.ask('/static/big.bin').fields['ETag'] != site.ask('/static/big2.bin').fields['ETag']
    status = os.stat(path)
    plain, coded = (Representation(str(path), coding, status, None) for coding in ('', 'br'))
    assert plain.etag != coded.etag


def test_a_file_that_grows_while_it_is_read(folder, monkeypatch):
    """Do not take a growing file for a small one, and announce the size that was read."""
    monkeypatch.setattr(files, 'SMALL', 8)
    path = folder / 'log.txt'
    put(path, b'12345678')
    real = os.fstat

    def then_grow(descriptor):
        status = real(descriptor)
        if status.st_size == 8 and status.st_ino == real_inode:
            with open(path, 'ab') as file:
                file.write(b'9')
        return status

    real_inode = os.stat(path).st_ino
    monkeypatch.setattr(files.os, 'fstat', then_grow)
    found = load(Mounts([Mount('/static', folder)]), '/static/log.txt')
    assert found.forms[0].body is None
