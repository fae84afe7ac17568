"""The WSGI application that every server of the benchmark runs."""

import time

TEXT = ('Content-Type', 'text/plain; charset=utf-8')
HELLO = b'Hello, world!'
BODY_10K = b'0123456789' * 1024
PARTS = [b'abcdefghij' * 1024] * 10


def hello(environ, start_response):
    start_response('200 OK', [TEXT, ('Content-Length', '13')])
    return [HELLO]


def body(environ, start_response):
    start_response('200 OK', [TEXT, ('Content-Length', '10240')])
    return [BODY_10K]


def echo(environ, start_response):
    length = environ['CONTENT_LENGTH']
    content = environ['wsgi.input'].read(int(length))
    start_response('200 OK', [TEXT, ('Content-Length', length)])
    return [content]


def stream(environ, start_response):
    start_response('200 OK', [TEXT])
    yield from PARTS


def sleep(environ, start_response):
    time.sleep(0.01)
    return hello(environ, start_response)


ROUTES = {'/': hello, '/10k': body, '/echo': echo, '/stream': stream, '/sleep': sleep}


def app(environ, start_response):
    return ROUTES[environ['PATH_INFO']](environ, start_response)
