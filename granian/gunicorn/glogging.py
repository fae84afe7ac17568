"""The path of gunicorn.glogging: a logger_class of the user's derives from `Logger`."""

from .access_atoms import Atoms
from .logs import CONFIG_DEFAULTS, Logger

SafeAtoms = Atoms

__all__ = ['CONFIG_DEFAULTS', 'Atoms', 'Logger', 'SafeAtoms']
