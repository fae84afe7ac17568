"""What the server asks of an application: `app.base` has it, and so a program's own class."""

from __future__ import annotations

from typing import Any, Protocol

from .cfg import Cfg


class Served(Protocol):
    """An application with its settings."""

    cfg: Cfg
    callable: Any
    hints: list[str]
    app_uri: str | None

    def wsgi(self) -> Any:
        """Return the application; load it the first time."""
        ...

    def reload(self) -> None:
        """Load the settings again. Raises SettingsError."""
        ...
