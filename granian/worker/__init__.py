"""One worker: takes a picklable specification, loads the application, runs one core.

This room knows how a core and an adapter meet (`kinds`; `adapters`, `loop` and `beside` for what runs
on an event loop) and how a worker speaks with its parent (`ipc`). It must not know the supervisor or
any other worker.
"""
