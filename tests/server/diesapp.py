import os
import threading

threading.Timer(0.01, os._exit, (7,)).start()


def app(path):
    return ''
