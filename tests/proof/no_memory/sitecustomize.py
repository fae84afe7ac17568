"""Of `faults.py`: os.fork() fails for want of memory while the file that FAULT_NO_MEMORY names exists."""

import errno
import os

_fork = os.fork


def fork():
    if os.path.exists(os.environ['FAULT_NO_MEMORY']):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    return _fork()


os.fork = fork
