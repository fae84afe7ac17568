"""The grammar of --bind."""

from __future__ import annotations

import pytest

from granian.addresses import DescriptorAddress, TCPAddress, UnixAddress, parse_address


@pytest.mark.parametrize(
    ('text', 'host', 'port'),
    [
        ('127.0.0.1:80', '127.0.0.1', 80),
        ('example.com', 'example.com', 8000),
        (':9000', '0.0.0.0', 9000),
        ('', '0.0.0.0', 8000),
        ('localhost:0', 'localhost', 0),
        ('[::1]:80', '::1', 80),
        ('[::]', '::', 8000),
        ('::', '::', 8000),
        ('fe80::1%eth0', 'fe80::1%eth0', 8000),
        ('tcp://127.0.0.1:80', '127.0.0.1', 80),
        ('tcp://[::1]:80', '::1', 80),
        (' 127.0.0.1:80 ', '127.0.0.1', 80),
    ],
)
def test_tcp_address_has_host_and_port(text: str, host: str, port: int) -> None:
    assert parse_address(text) == TCPAddress(host, port)


@pytest.mark.parametrize(
    ('text', 'path'),
    [
        ('unix:/run/x', '/run/x'),
        ('unix:///run/x', '/run/x'),
        ('unix:x', 'x'),
        ('unix://tmp/x', 'tmp/x'),
        ('unix:\0name', '\0name'),
        ('unix:\\0name', '\0name'),
    ],
)
def test_unix_address_has_a_path(text: str, path: str) -> None:
    assert parse_address(text) == UnixAddress(path)


def test_descriptor_address_has_a_number() -> None:
    assert parse_address('fd://3') == DescriptorAddress(3)


@pytest.mark.parametrize(
    'text',
    ['a:b', 'a:', 'a:70000', 'a:99999999999999', 'a:\uff180', '[::1', '[::1]80', '1:2:3', 'unix:', 'unix:\0', 'fd://',
     'fd://x', 'fd://-1', 'http://a:80', '/run/x', 'a:+1'],
)  # fmt: skip
def test_malformed_address_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r'.+'):
        parse_address(text)


@pytest.mark.parametrize('text', ['127.0.0.1:80', '[::1]:80', 'unix:/x', 'fd://3'])
def test_text_of_an_address_parses_to_itself(text: str) -> None:
    assert str(parse_address(text)) == text


@pytest.mark.parametrize('text', ['127.0.0.1:80,127.0.0.1:81', 'localhost,[::1]:80'])
def test_several_addresses_in_one_text_are_named(text: str) -> None:
    with pytest.raises(ValueError, match=r'is not one address: give each its own --bind'):
        parse_address(text)
