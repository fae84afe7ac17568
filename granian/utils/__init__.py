"""Helpers for applications, importable without starting a server."""
