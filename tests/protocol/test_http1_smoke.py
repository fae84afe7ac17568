from granian.protocol.events import EndOfRequest, Request
from granian.protocol.http1 import Http1
from granian.protocol.interface import Clock, Limits


def test_get_and_keep_alive():
    connection = Http1(Limits(), Clock())
    for _ in range(2):
        connection.receive_data(b'GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n')
        event = connection.next_event()
        assert isinstance(event, Request)
        assert (event.head.path, event.head.query, event.complete) == ('/a', 'b', True)
        assert connection.next_event() is None
        response = connection.respond(1, 200, [(b'Content-Type', b'text/plain')], b'hello')
        assert response.startswith(b'HTTP/1.1 200 OK\r\n')
        assert response.endswith(b'Content-Length: 5\r\n\r\nhello')
        assert connection.idle
        assert not connection.must_close


def test_chunked():
    connection = Http1(Limits(), Clock())
    connection.receive_data(b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
    event = connection.next_event()
    assert isinstance(event, Request)
    assert (event.body, event.complete) == (b'abc', False)
    connection.receive_data(b'0\r\n\r\n')
    assert isinstance(connection.next_event(), EndOfRequest)
    connection.send_response(1, 200, [])
    assert connection.send_data(1, b'hello') == b'5\r\nhello\r\n'
    assert connection.send_end(1) == b'0\r\n\r\n'
    assert connection.idle
