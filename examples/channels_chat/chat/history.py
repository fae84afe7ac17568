"""What was said lately, by room."""

from __future__ import annotations

from collections import defaultdict, deque

LATELY = 50

rooms: defaultdict[str, deque[dict[str, str]]] = defaultdict(lambda: deque(maxlen=LATELY))
