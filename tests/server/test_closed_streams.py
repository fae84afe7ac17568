"""A log that cannot be written, or fails, stops no request and no server."""

import http.client
import logging
from pathlib import Path

import pytest

from granian import log
from tests.support.server_process import serving

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ('target', 'flags'),
    [
        ('closingapps:wsgi', ''),
        ('closingapps:wsgi', '--core gevent'),
        ('closingapps:asgi', '--interface asgi'),
        ('closingapps:rsgi', '--interface rsgi'),
    ],
)
def test_closed_standard_streams_stop_no_request(target, flags):
    if 'gevent' in flags:
        pytest.importorskip('gevent')
    with serving('granian', target, f'--access-log {flags}', HERE) as server:
        answers = [status(server.port, path) for path in ('/close', '/fail', '/fail', '/')]
    assert answers == [200, 500, 500, 200]


def status(port, path):
    client = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
    try:
        client.request('GET', path)
        return client.getresponse().status
    finally:
        client.close()


class Failing(logging.Handler):
    def emit(self, record):
        raise RuntimeError('no room')


@pytest.mark.parametrize('logger', [log.logger, log.access_logger], ids=['log', 'access log'])
def test_failing_handler_raises_nothing(logger, capsys):
    handler = Failing()
    logger.addHandler(handler)
    try:
        logger.error('a line')
        logger.error('a second line')
    finally:
        logger.removeHandler(handler)
        logger._failed = False
    assert capsys.readouterr().err.count('the log cannot be written: no room') == 1


def test_failing_record_factory_raises_nothing(caplog):
    def fail(*args, **kwargs):
        raise RuntimeError('factory')

    usual = logging.getLogRecordFactory()
    logging.setLogRecordFactory(fail)
    try:
        log.logger.error('a line of %s', 'ours')
    finally:
        logging.setLogRecordFactory(usual)
    assert caplog.messages == ['a line of ours']
