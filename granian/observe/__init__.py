"""What is recorded of each exchange: the access log's lines and the counters of metrics.

This room knows a finished exchange (`exchange.Exchange`). It must not know cores, connections
or the configuration. `statsd` has a socket of its own.
"""
