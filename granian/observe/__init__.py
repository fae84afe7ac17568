"""What is recorded of each exchange: the access log's lines and the counters of metrics.

`access_log` writes lines of `atoms`, or of `expressions` of them; `recording` keeps the headers that they
name. `counters` and `statsd` count; `lookup` finds the server of `statsd`. `refusals` are requests and
connections that no application sees.

This room knows a finished exchange (`exchange`). It must not know cores, connections
or the configuration. `statsd` has a socket of its own.
"""
