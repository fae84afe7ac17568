import os
import threading

# Long enough to be ready first, even on a busy machine: a first worker that is not stops the server at once.
threading.Timer(0.5, os._exit, (7,)).start()


def app(path):
    return ''
