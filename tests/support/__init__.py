"""Fakes, raw clients, servers and certificates that several folders of tests share."""
