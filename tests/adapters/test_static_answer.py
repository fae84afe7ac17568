"""What a request gets: methods, conditions (RFC 9110 13), one range (14), content codings (12.5.3)."""

from __future__ import annotations

import os
import time
from email.utils import formatdate

import pytest

from granian.protocol.http1.grammar import parse_head
from granian.protocol.limits import Limits
from granian.static.answer import answer
from granian.static.types import content_type
from tests.support.rows import rows
from tests.support.static_site import OLD, Site, fill, put

BODY = b'hello, world\n'
DATE = formatdate(int(OLD), usegmt=True)


def test_a_file(site):
    reply = site.ask()
    assert (reply.status, reply.body) == (200, BODY)
    assert reply.fields['Content-Type'] == 'text/plain; charset=utf-8'
    assert reply.fields['Content-Length'] == '13'
    assert reply.fields['Last-Modified'] == DATE
    assert reply.fields['Cache-Control'] == 'max-age=86400'
    assert reply.fields['Accept-Ranges'] == 'bytes'
    assert 'Vary' not in reply.fields
    assert reply.fields['ETag'].startswith('"')


def test_a_big_file_is_left_to_be_sent(site):
    reply = site.ask('/static/big.bin')
    assert reply.form is not None
    assert reply.fields['Content-Length'] == str(256 * 2048)
    assert reply.fields['Content-Type'] == 'application/octet-stream'
    assert reply.body == bytes(range(256)) * 2048


def test_an_empty_file(site):
    reply = site.ask('/static/empty.js')
    assert (reply.status, reply.body, reply.fields['Content-Length']) == (200, b'', '0')
    assert reply.fields['Content-Type'] == 'text/javascript; charset=utf-8'


@rows('path', ['/static/hello.txt', '/static/big.bin', '/static/no', '/static/../x'])
def test_head_says_what_get_does(site, path):
    get, head = site.ask(path), site.ask(path, 'HEAD')
    assert head.fields == get.fields
    assert (head.status, head.body, head.form) == (get.status, b'', None)


@rows('method', ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'get', 'PROPFIND'])
@rows('path', ['/static/hello.txt', '/static/no'])
def test_other_methods(site, method, path):
    reply = site.ask(path, method)
    assert (reply.status, reply.fields['Allow']) == (405, 'GET, HEAD')


def test_absent(site):
    reply = site.ask('/static/no.txt')
    assert (reply.status, reply.fields['Content-Length']) == (404, '14')
    assert 'Cache-Control' not in reply.fields


@pytest.mark.proves('--static-path-expires')
def test_no_expiry(folder):
    assert 'Cache-Control' not in Site(folder, expires=0).ask().fields
    assert Site(folder, expires=60).ask().fields['Cache-Control'] == 'max-age=60'


@rows(
    ('name', 'expected'),
    [
        ('a.html', 'text/html; charset=utf-8'),
        ('a.CSS', 'text/css; charset=utf-8'),
        ('a.mjs', 'text/javascript; charset=utf-8'),
        ('a.json', 'application/json'),
        ('a.svg', 'image/svg+xml'),
        ('a.woff2', 'font/woff2'),
        ('a.wasm', 'application/wasm'),
        ('a.tar.gz', 'application/gzip'),
        ('a.css.gz', 'application/gzip'),
        ('a.png', 'image/png'),
        ('a.pdf', 'application/pdf'),
        ('a.ipynb', 'application/x-ipynb+json'),
        ('a.patch', 'text/x-diff; charset=utf-8'),
        ('a.ttl', 'text/turtle; charset=utf-8'),
        ('data:,a', 'application/octet-stream'),
        ('Makefile', 'application/octet-stream'),
    ],
)
def test_types(folder, name, expected):
    put(folder / name, b'x')
    assert Site(folder).ask(f'/static/{name}').fields['Content-Type'] == expected


# Conditions


def test_if_none_match(site):
    etag = site.ask().fields['ETag']
    for tags in (etag, f'W/{etag}', f'"a", {etag}', f'"a,b",W/{etag} , "c"', '*', ' * '):
        reply = site.ask(If_None_Match=tags)
        assert (reply.status, reply.body) == (304, b''), tags
        assert set(reply.fields) == {'ETag', 'Last-Modified', 'Cache-Control'}
    for tags in ('"a"', etag[:-1], etag.strip('"'), '', 'W/"a"', f'w/{etag}x'[:-3]):
        assert site.ask(If_None_Match=tags).status == 200, tags


def test_if_none_match_goes_before_if_modified_since(site):
    assert site.ask(If_None_Match='"a"', If_Modified_Since=DATE).status == 200


def test_if_modified_since(site):
    assert site.ask(If_Modified_Since=DATE).status == 304
    assert site.ask(If_Modified_Since=formatdate(time.time(), usegmt=True)).status == 304
    assert site.ask(If_Modified_Since=formatdate(OLD - 2, usegmt=True)).status == 200


@rows(
    'date',
    ['yesterday', '', '0', 'Sat, 99 Foo 2099 00:00:00 GMT', 'x' * 4000,
     'Sun, 06 Nov 99999999999 08:49:37 GMT', 'Thu, 31 Feb 2028 00:00:00 GMT', '2099-01-01T00:00:00Z', '1 2 3',
     ',,,,', '\xff\xff'],
)  # fmt: skip
def test_what_is_no_date_is_not_said(site, date):
    assert site.ask(If_Modified_Since=date).status in (200, 304)
    assert site.ask(If_Unmodified_Since=date).status in (200, 412)


def test_the_three_forms_of_a_date(site):
    """Read each form of RFC 9110 5.6.7."""
    t = time.gmtime(OLD)
    for form in ('%a, %d %b %Y %H:%M:%S GMT', '%A, %d-%b-%y %H:%M:%S GMT', '%a %b %e %H:%M:%S %Y'):
        assert site.ask(If_Modified_Since=time.strftime(form, t)).status == 304


def test_if_match_is_strong(site):
    etag = site.ask().fields['ETag']
    for tags in (etag, f'"a", {etag}', '*'):
        assert site.ask(If_Match=tags).status == 200
    for tags in ('"a"', f'W/{etag}', ''):
        assert site.ask(If_Match=tags).status == 412, tags


def test_if_unmodified_since(site):
    assert site.ask(If_Unmodified_Since=DATE).status == 200
    assert site.ask(If_Unmodified_Since=formatdate(OLD - 2, usegmt=True)).status == 412
    etag = site.ask().fields['ETag']
    assert site.ask(If_Match=etag, If_Unmodified_Since=formatdate(OLD - 2, usegmt=True)).status == 200


def test_order_of_conditions(site):
    etag = site.ask().fields['ETag']
    assert site.ask(If_Match='"a"', If_None_Match=etag).status == 412
    assert site.ask(If_Match=etag, If_None_Match=etag).status == 304
    assert site.ask(If_None_Match=etag, Range='bytes=0-1').status == 304


def test_a_modification_time_in_the_future(folder):
    """Send the time of the response instead of a later one (RFC 9110 8.8.2.1)."""
    put(folder / 'later.txt', b'x', time.time() + 5000)
    modified = Site(folder).ask('/static/later.txt').fields['Last-Modified']
    assert modified in [formatdate(int(time.time()) - ago, usegmt=True) for ago in range(3)]


# Ranges


@rows(
    ('wanted', 'content_range', 'body'),
    [
        ('bytes=0-4', 'bytes 0-4/13', b'hello'),
        ('bytes=7-', 'bytes 7-12/13', b'world\n'),
        ('bytes=-6', 'bytes 7-12/13', b'world\n'),
        ('bytes=-600', 'bytes 0-12/13', BODY),
        ('bytes=0-', 'bytes 0-12/13', BODY),
        ('bytes=12-99999999999999999999', 'bytes 12-12/13', b'\n'),
        ('bytes=12-' + '9' * 5000, 'bytes 12-12/13', b'\n'),
        ('bytes=-' + '9' * 5000, 'bytes 0-12/13', BODY),
        ('BYTES=0-0', 'bytes 0-0/13', b'h'),
        ('bytes= 0-0 ', 'bytes 0-0/13', b'h'),
        ('bytes=00-001', 'bytes 0-1/13', b'he'),
    ],
)
def test_one_range(site, wanted, content_range, body):
    reply = site.ask(Range=wanted)
    assert (reply.status, reply.fields['Content-Range'], reply.body) == (206, content_range, body)
    assert reply.fields['Content-Length'] == str(len(body))
    assert {'ETag', 'Last-Modified', 'Cache-Control', 'Content-Type'} <= set(reply.fields)


@rows(
    'wanted',
    ['bytes=13-', 'bytes=13-13', 'bytes=99999999999999999999-', 'bytes=' + '9' * 5000 + '-', 'bytes=-0'],
)
def test_not_satisfiable(site, wanted):
    reply = site.ask(Range=wanted)
    assert (reply.status, reply.fields['Content-Range']) == (416, 'bytes */13')


def test_no_range_of_nothing(site):
    assert site.ask('/static/empty.js', Range='bytes=0-').status == 416
    assert site.ask('/static/empty.js', Range='bytes=-5').status == 416


@rows(
    'wanted',
    ['bytes=5-4', 'bytes=', 'bytes=-', 'bytes', 'items=0-1', 'bytes=a-b', 'bytes=+1-2', 'bytes=1-2x',
     'bytes=0x1-2', 'bytes=-1-2', 'bytes=1--2', 'bytes=²-', 'bytes=1_0-', '0-1', 'bytes=0-1,3-4',
     'bytes=0-1, ', 'bytes=' + '0-1,' * 5000, 'bytes=' + ' ' * 20000],
)  # fmt: skip
def test_what_is_no_single_range_gets_all(site, wanted):
    """Also several, and the many overlapping ones of Apache Killer and CVE-2025-62727 (S-S-06)."""
    reply = site.ask(Range=wanted)
    assert (reply.status, reply.body) == (200, BODY)


def test_two_range_lines_are_several_ranges(site):
    lines = b'GET /static/hello.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\nRange: bytes=0-2'
    head = parse_head(lines, Limits())
    mount = site.mounts.find(head.path)
    assert answer(head, site.mounts.look(head.path, mount)).status == 200


def test_a_hostile_range_is_quickly_judged(site):
    began = time.process_time()
    for _ in range(2):
        site.ask(Range='bytes=' + '0-,' * 20000)
        site.ask(If_None_Match='"' * 60000)
        site.ask(If_None_Match='W/"a' * 15000)
        site.ask(Accept_Encoding=';q=' * 20000)
    assert time.process_time() - began < 5


def test_range_is_for_get(site):
    assert site.ask(method='HEAD', Range='bytes=0-1').status == 200


def test_if_range(site):
    etag = site.ask().fields['ETag']
    assert site.ask(Range='bytes=0-1', If_Range=etag).status == 206
    assert site.ask(Range='bytes=0-1', If_Range=DATE).status == 206
    later, earlier = formatdate(OLD + 1, usegmt=True), formatdate(OLD - 1, usegmt=True)
    for other in ('"a"', f'W/{etag}', later, earlier, 'x', ''):
        assert site.ask(Range='bytes=0-1', If_Range=other).status == 200, other
    assert site.ask(If_Range='"a"').status == 200
    assert site.ask(Range='bytes=99-', If_Range='"a"').status == 200


def test_range_of_a_big_file(site):
    reply = site.ask('/static/big.bin', Range='bytes=256000-256009')
    assert reply.form is not None
    assert reply.body == bytes(range(10))


# Content codings


def with_coded_files(folder):
    for suffix, content in ('', b'p' * 90), ('.gz', b'GZIP'), ('.br', b'BR'), ('.zst', b'ZSTD'):
        put(folder / f'app.js{suffix}', content)
    put(folder / 'only.css', b'p' * 90)
    put(folder / 'only.css.gz', b'GZIP')
    return Site(folder, precompressed=True)


@pytest.fixture(scope='module')
def coded(tmp_path_factory):
    """Make files with compressed siblings; no test changes them."""
    return with_coded_files(fill(tmp_path_factory.mktemp('coded')))


@rows(
    ('accepted', 'coding'),
    [
        ('gzip, deflate, br, zstd', 'br'),
        ('gzip', 'gzip'),
        ('x-gzip', 'gzip'),
        ('GZip', 'gzip'),
        ('zstd, gzip', 'zstd'),
        ('gzip;q=1, br;q=0.5', 'gzip'),
        ('br;q=0, gzip;q=0.1', 'gzip'),
        ('br ; q=0.2 , gzip ; Q=0.3', 'gzip'),
        ('*', 'br'),
        ('*;q=0', None),
        ('br;q=0, *', 'zstd'),
        ('gzip;q=0.5, identity', None),
        ('gzip;q=0.5, identity;q=0.4', 'gzip'),
        ('identity;q=0, gzip;q=0', None),
        ('deflate', None),
        ('identity', None),
        ('', None),
        ('br;q=x', None),
        ('br;level=3', None),
        ('brotli, gzipped', None),
        (None, None),
    ],
)
def test_negotiation(coded, accepted, coding):
    fields = {} if accepted is None else {'Accept_Encoding': accepted}
    reply = coded.ask('/static/app.js', **fields)
    assert reply.status == 200
    assert reply.fields.get('Content-Encoding') == coding
    assert reply.body == {'br': b'BR', 'zstd': b'ZSTD', 'gzip': b'GZIP', None: b'p' * 90}[coding]
    assert reply.fields['Vary'] == 'Accept-Encoding'
    assert reply.fields['Content-Type'] == 'text/javascript; charset=utf-8'


def test_only_what_there_is(coded):
    assert coded.ask('/static/only.css', Accept_Encoding='br, gzip').fields['Content-Encoding'] == 'gzip'
    assert 'Vary' not in coded.ask('/static/hello.txt', Accept_Encoding='br').fields


def test_off_by_default(coded):
    reply = Site(coded.folder).ask('/static/app.js', Accept_Encoding='br')
    assert 'Content-Encoding' not in reply.fields
    assert 'Vary' not in reply.fields


def test_each_form_has_its_own_etag(coded):
    tags = {coded.ask('/static/app.js', Accept_Encoding=c).fields['ETag'] for c in ('br', 'zstd', 'gzip', '')}
    assert len(tags) == 4
    plain = coded.ask('/static/app.js').fields['ETag']
    assert coded.ask('/static/app.js', If_None_Match=plain).status == 304
    assert coded.ask('/static/app.js', If_None_Match=plain, Accept_Encoding='br').status == 200


def test_the_same_bytes_under_another_coding_have_another_etag(folder):
    for suffix in ('', '.br', '.gz'):
        put(folder / f'same.txt{suffix}', b'same')
    site = Site(folder, precompressed=True)
    asked = ('br', 'gzip', '')
    tags = {site.ask('/static/same.txt', Accept_Encoding=coding).fields['ETag'] for coding in asked}
    assert len(tags) == 3


@pytest.mark.parametrize('accepted', ['gzip', 'identity', None])
@pytest.mark.parametrize('precompressed', [True, False])
def test_file_that_is_compressed_by_its_type_says_so(folder, precompressed, accepted):
    for name in ('a.svgz', 'a.svgz.br', 'a.tgz'):
        put(folder / name, b'\x1f\x8b')
    site = Site(folder, precompressed=precompressed)
    asked = {} if accepted is None else {'Accept_Encoding': accepted}
    fields = site.ask('/static/a.svgz', **asked).fields
    assert (fields['Content-Type'], fields['Content-Encoding']) == ('image/svg+xml', 'gzip')
    assert 'Vary' not in fields
    assert 'Content-Encoding' not in site.ask('/static/a.tgz', **asked).fields


def test_304_of_a_coded_file_says_vary(coded):
    etag = coded.ask('/static/app.js', Accept_Encoding='br').fields['ETag']
    reply = coded.ask('/static/app.js', Accept_Encoding='br', If_None_Match=etag)
    assert (reply.status, reply.fields['Vary']) == (304, 'Accept-Encoding')
    assert 'Content-Encoding' not in reply.fields


def test_a_range_is_one_of_the_coded_bytes(coded):
    reply = coded.ask('/static/app.js', Accept_Encoding='gzip', Range='bytes=1-2')
    assert (reply.status, reply.body, reply.fields['Content-Range']) == (206, b'ZI', 'bytes 1-2/4')
    assert reply.fields['Content-Encoding'] == 'gzip'


def test_a_coded_sibling_asked_for_by_name_is_a_file(coded):
    reply = coded.ask('/static/app.js.gz', Accept_Encoding='gzip')
    assert reply.body == b'GZIP'
    assert 'Content-Encoding' not in reply.fields
    assert reply.fields['Content-Type'] == 'application/gzip'


def test_a_sibling_that_leads_out_or_is_no_file_is_none(folder, tmp_path):
    coded = with_coded_files(folder)
    put(coded.folder / 'x.js', b'x')
    os.symlink(tmp_path / 'outside.txt', coded.folder / 'x.js.br')
    (coded.folder / 'x.js.gz').mkdir()
    reply = coded.ask('/static/x.js', Accept_Encoding='br, gzip')
    assert (reply.body, 'Vary' in reply.fields) == (b'x', False)


@rows(
    ('name', 'expected'),
    [
        ('a.docx', 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'),
        ('a.jfif', 'image/jpeg'),
        ('a.pkpass', 'application/vnd.apple.pkpass'),
        ('a.m4s', 'video/iso.segment'),
        ('a.sqlite', 'application/vnd.sqlite3'),
        ('a.rst', 'text/prs.fallenstein.rst; charset=utf-8'),
        ('a.xlsx', 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'),
        ('a.pptx', 'application/vnd.openxmlformats-officedocument.presentationml.presentation'),
        ('a.ogg', 'audio/ogg'),
        ('a.FLAC', 'audio/flac'),
        ('a.epub', 'application/epub+zip'),
        ('a.ics', 'text/calendar; charset=utf-8'),
        ('a.eot', 'application/vnd.ms-fontobject'),
        ('a.yaml', 'application/yaml'),
        ('a.rss', 'application/rss+xml'),
        ('a.atom', 'application/atom+xml'),
        ('a.pem', 'application/x-pem-file'),
        ('a.webmanifest', 'application/manifest+json'),
        ('a.wasm', 'application/wasm'),
        ('a.avif', 'image/avif'),
        ('a.mp4', 'video/mp4'),
        ('a.svgz', 'image/svg+xml'),
        ('a.tgz', 'application/gzip'),
        ('a.svg.gz', 'application/gzip'),
        ('a.unknown', 'application/octet-stream'),
        ('a', 'application/octet-stream'),
    ],
)
def test_type_is_known_without_the_systems_table(name, expected, monkeypatch):
    monkeypatch.setattr('granian.static.types._PYTHONS', {})
    assert content_type(name) == expected
