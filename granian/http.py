"""HTTP settings as the Python API groups them: `HTTP1Settings` and `HTTP2Settings`.

Sizes are in bytes, times in the unit that the option's help names. The classes are made from the
declaration of the options.
"""

from __future__ import annotations

from .config import HTTP1Settings, HTTP2Settings

__all__ = ['HTTP1Settings', 'HTTP2Settings']
