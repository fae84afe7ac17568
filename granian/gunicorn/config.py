"""The path of gunicorn.config: `Config`, for programs that make their settings themselves."""

from .cfg import Cfg as Config

__all__ = ['Config']
