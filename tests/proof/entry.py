"""An entry of the catalogue of applications."""

from __future__ import annotations

from dataclasses import dataclass, field

Step = tuple[str, str, str, dict[str, str], int]
"""Method, path, body, header fields, and the status that must come back."""


@dataclass(frozen=True)
class Application:
    """A package of PyPI, or several, and what is asked of the server that runs them."""

    packages: list[str]
    flags: str
    steps: list[Step] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """Written into the working directory before the start: path and text."""
    prepare: list[str] = field(default_factory=list)
    """Commands run in the working directory before the start; {bin} is the folder of programs."""
    wrapper: str = '{bin}/python -m granian'
    """The command that starts the server, in front of its flags; {here} is this folder."""
    client: str = ''
    """A program that uses the server by its own protocol; its argument is the port. It must end with 0."""
    env: dict[str, str] = field(default_factory=dict)
    """{folder} is the working directory."""
    address: str = '--host 127.0.0.1 --port {port} --working-dir {folder} --workers-start-timeout {patience}'
    """The flags that follow: where the server is, and its time to start."""
    quick: bool = False
    """It installs in less than half a minute: one of these runs with the tests, each day another."""
