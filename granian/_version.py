"""Version, for modules that must not import the package itself (it imports the server)."""

__version__ = '2.8.0'
