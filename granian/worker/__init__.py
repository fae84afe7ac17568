"""One worker: takes a picklable specification, loads the application, runs one core.

`entry` is a worker's whole life, `spec` its argument. First it becomes another user (`identity`) and patches
the standard library (`patching`); `detect` finds the application's interface. `kinds` is where a core and an
adapter meet; `adapters`, `loop` and `beside` are for what runs on an event loop. `layers` stand around the
handler: the user's hooks (`hooks`, `request_hooks`), the number of requests (`limits`). `timeouts` watches
for a worker that hangs, `children` is for processes that the application forks, `sources` lists files for
--reload. `failures` says why it could not start, `ending` is how it ends. `ipc` has the messages to the
main process.

It must not know the supervisor or any other worker.
"""
