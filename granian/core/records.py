"""Bounds on what one client's TLS records may cost, for every core.

A client may send records without data for ever: KeyUpdate (RFC 8446 4.6.3) costs it less than us. OpenSSL
returns only at data, or when there is no more input. So it is given a part of the input at a time, and a
client whose records have no data for long is sent away.
"""

from __future__ import annotations

from typing import Final

WIRE: Final = 32768
"""Bytes given to OpenSSL at once: 1,200 records without data take 10 ms."""
BARREN: Final = 65536
"""Bytes of records since the last data that end a connection: a record that is not whole yet has 16 KiB."""
