"""Static files: requests under a route are answered from a folder, and the application never sees them.

`handlers` puts the mounts in front of a handler of either colour, blocking or async. Everything else is
shared by the two: which file a path means (`paths`), what is known of it (`files`, `types`), and what a
request gets of it (`answer`: RFC 9110's conditions, ranges and content codings).

This room knows the port (`granian.stream`) and the file system. It must not know an interface, a core,
a socket or the configuration.
"""

from .files import Mount, Mounts
from .handlers import asynchronous, blocking

__all__ = ['Mount', 'Mounts', 'asynchronous', 'blocking']
