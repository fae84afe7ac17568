"""The path of gunicorn.glogging: a logger_class of the user's derives from `Logger`."""

from .logs import CONFIG_DEFAULTS, Atoms, Logger

SafeAtoms = Atoms

__all__ = ['CONFIG_DEFAULTS', 'Atoms', 'Logger', 'SafeAtoms']
