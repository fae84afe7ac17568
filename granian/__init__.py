"""A pure-Python HTTP server for Python applications."""

__version__ = '2.8.0'
