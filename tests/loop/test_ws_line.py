"""Large compressed messages are inflated in turn."""

from __future__ import annotations

from typing import Any

from granian.websocket_session import line
from granian.websocket_session.line import SLICES, Line


class Turns:
    """The `call_soon` of an event loop."""

    def __init__(self) -> None:
        self.due: list[Any] = []

    def call_soon(self, call: Any) -> None:
        self.due.append(call)

    def run(self) -> None:
        due, self.due = self.due, []
        for call in due:
            call()


class Session:
    """Something that has a number of slices left, and notes each."""

    def __init__(self, queue: Line, name: str, slices: int, seen: list[str]) -> None:
        self.queue, self.name, self.slices, self.seen = queue, name, slices, seen
        queue.join(self.go_on)

    def go_on(self) -> None:
        self.seen.append(self.name)
        self.slices -= 1
        if self.slices:
            self.queue.join(self.go_on)


def test_slices_of_one_turn_are_bounded_however_many_wait() -> None:
    loop: Any = Turns()
    queue, seen = Line(loop), []  # type: ignore[var-annotated]
    for _ in range(100):
        Session(queue, 'x', 10, seen)
    loop.run()
    assert len(seen) == SLICES
    loop.run()
    assert len(seen) == 2 * SLICES


def test_one_message_is_inflated_at_a_time() -> None:
    loop: Any = Turns()
    queue, seen = Line(loop), []  # type: ignore[var-annotated]
    for name in 'abc':
        Session(queue, name, 5, seen)
    while loop.due:
        loop.run()
    assert ''.join(seen) == 'aaaaabbbbbccccc'


def test_failure_of_one_does_not_end_the_line() -> None:
    loop: Any = Turns()
    queue, seen = Line(loop), []  # type: ignore[var-annotated]
    queue.join(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    Session(queue, 'x', 1, seen)
    try:
        loop.run()
    except ZeroDivisionError:
        loop.run()
    assert seen == ['x']


def test_each_loop_has_one_line() -> None:
    first: Any = Turns()
    second: Any = Turns()
    assert line.line_of(first) is line.line_of(first) is not line.line_of(second)
