"""What is recorded of each exchange: the access log's lines and the counters of metrics."""
