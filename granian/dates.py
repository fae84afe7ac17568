"""Dates as HTTP writes them. `email.utils` has them too, and loads ten modules for it."""

from __future__ import annotations

from time import gmtime

_DAYS = ('Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun')
_MONTHS = ('Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec')


def http_date(seconds: float) -> str:
    """Return a time in seconds since 1970 as an IMF-fixdate (RFC 9110 5.6.7), in any locale."""
    year, month, day, hour, minute, second, weekday, _, _ = gmtime(seconds)
    return f'{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{second:02} GMT'
