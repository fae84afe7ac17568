"""The main process: opens the listeners, keeps the workers alive, takes signals.

This room knows the configuration and how workers are started and spoken to. It must not know
HTTP, applications or what a worker does with its connections. It has one thread, and waits
in one place.
"""

from .mp import MPServer

Server = MPServer

__all__ = ['MPServer', 'Server']
