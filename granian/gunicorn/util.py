"""The path of gunicorn.util: `import_app`, for programs that load an application by its text."""

from .application import load as import_app

__all__ = ['import_app']
