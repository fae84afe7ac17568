"""An application that holds blocking functions of the standard library by name."""

from threading import Thread
from time import sleep
from typing import Any


def app(environ: Any, start_response: Any) -> list[bytes]:
    worker = Thread(target=sleep, args=(0.01,))
    worker.start()
    start_response('200 OK', [])
    return [b'ok']
