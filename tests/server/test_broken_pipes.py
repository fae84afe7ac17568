"""SIGPIPE, which a preloaded library may give back to the system."""

import os
import signal
import subprocess
import sys

import pytest

PRELOADED = """
import signal
from granian.server.signals import SignalInbox
inbox = SignalInbox()
inbox.open()
signal.signal(signal.SIGPIPE, signal.{handler})
inbox.renew()
print(signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN)
"""


@pytest.mark.skipif(not hasattr(signal, 'SIGPIPE'), reason='no SIGPIPE')
@pytest.mark.parametrize(('handler', 'ignored'), [('SIG_DFL', 'True'), ('default_int_handler', 'False')])
def test_sigpipe_of_the_system_is_ignored_after_a_preload(handler, ignored):
    """Leave a handler of the application's alone: it ends no process."""
    command = [sys.executable, '-c', PRELOADED.format(handler=handler)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=20)
    assert done.stdout.strip() == ignored, done.stderr
