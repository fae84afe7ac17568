"""The main process: opens the listeners, keeps the workers alive, takes signals.

This room knows the configuration and how workers are started and spoken to. It must not know
applications or what a worker does with its connections, nor HTTP, but for `metrics`, which
answers scrapes through the protocol room.

`common` is the server with its options and hooks; `mp` and `mt` start workers as processes or threads,
`embed` serves inside a host program. `roster` lists what is to be started, `forking` and `preload` are for
workers that are forks, `hooks` calls the user's functions, `memory` measures a worker, `pidfile` writes
the file, and `upgrade` passes the sockets to another main process.

`supervisor` decides, by `tables` and on `records`: `fleet` is its data, `life` has a worker's table, `deaths`
and `succession` a slot's next worker. `mainloop` waits for `signals`, workers (`handles`) and `companions`
(`reload`, `polling`, `metrics`, `statsd`, `notify`).

The main process has one thread, and waits in one place. There are two other kinds of threads: the workers
of `mt`, on Python without the interpreter lock, and the one that writes kept log lines while the output
takes none (`log_output`).
"""

from .. import net
from .common import AbstractServer, Loader, SpawnTarget
from .mp import MPServer, ProcessLauncher
from .mt import MTServer, ThreadLauncher, threads_will_do
from .roster import Launch


class Server(AbstractServer):
    """`Granian`: its workers are processes, or threads where Python has no global interpreter lock."""

    def _make_launcher(
        self, endpoint: net.Endpoint, spawn_target: SpawnTarget | None, loader: Loader | None
    ) -> Launch:
        kind = ThreadLauncher if threads_will_do(self.config, self.needs_fork) else ProcessLauncher
        return kind(self, endpoint, spawn_target, loader)


__all__ = ['MPServer', 'MTServer', 'Server']
