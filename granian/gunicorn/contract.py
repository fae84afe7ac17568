"""The interface of an embedding application, as this room uses it: `app.base` implements it."""

from __future__ import annotations

from typing import Any, Protocol

from .cfg import Cfg


class Served(Protocol):
    """An application with its settings."""

    cfg: Cfg
    callable: Any
    hints: list[str]
    app_uri: str | None
    start_dir: str

    def wsgi(self) -> Any:
        """Return the application; load it the first time."""
        ...

    def reload(self) -> None:
        """Load the settings again. Raises SettingsError."""
        ...
