"""Helpers for applications, importable without starting a server: `proxies`, two middlewares."""
