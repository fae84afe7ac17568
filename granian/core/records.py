"""Bounds on what one client's TLS records may cost, for every core.

A client may send records without data for ever: KeyUpdate (RFC 8446 4.6.3) costs it less than us. OpenSSL
returns only at data, or when there is no more input. So it is given a part of the input at a time, and a
client whose records have no data for long is sent away.
"""

from __future__ import annotations

from typing import Final

RECORD: Final = 16384
"""Maximum bytes of data in a record (RFC 8446 5.1)."""
WIRE: Final = 18432
"""Bytes given to OpenSSL at once: the longest record (RFC 5246 6.2.3). A connection keeps a third more of
memory. 700 records without data take 5 ms."""
PART: Final = 4096
"""Bytes given to OpenSSL at once while the records before had no data, and at first: 150 updates that ask for
ours take 2 ms."""
BARREN: Final = 32768
"""Bytes of records since the last data that end a connection: a record that is not whole yet has 16 KiB."""
REPLY: Final = 4
"""A byte of our replies to records without data counts as so many of theirs: 700 updates that ask for ours
take 11 ms, and the client need not read these."""
