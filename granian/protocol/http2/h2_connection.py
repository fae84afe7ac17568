"""`H2Connection` for the second engine: h2 judges neither header fields nor how long a body is."""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection
import h2.settings
import h2.stream

from ..limits import Limits
from ..negotiate import PREFACE
from . import frames


class _Settings(h2.settings.Settings):
    """Ours. The limit on streams is judged here: h2 would end the connection above it."""

    @property  # type: ignore[misc]
    def max_concurrent_streams(self) -> int:
        return frames.MAX_STREAM_ID


class _Connection(h2.connection.H2Connection):
    """h2's. How long a body has to be is judged here: h2 would end the connection."""

    def _flow_control_change_from_settings(self, old_value: int | None, new_value: int) -> None:
        """Move the windows of open streams. h2 would end the connection for a closed stream's."""
        _ = self.open_inbound_streams  # h2 forgets its closed streams when it counts the open ones
        super()._flow_control_change_from_settings(old_value, new_value)

    def _begin_new_stream(self, stream_id: int, allowed_ids: Any) -> h2.stream.H2Stream:
        stream = super()._begin_new_stream(stream_id, allowed_ids)
        stream._initialize_content_length = lambda headers: None  # type: ignore[method-assign]
        return stream


def connect(limits: Limits) -> h2.connection.H2Connection:
    """Return h2's side of a connection, with the server's preface in its output."""
    codes = h2.settings.SettingCodes
    values = {
        codes.MAX_CONCURRENT_STREAMS: limits.max_concurrent_streams,
        codes.INITIAL_WINDOW_SIZE: min(limits.initial_stream_window_size, frames.MAX_WINDOW),
        codes.MAX_FRAME_SIZE: frames.max_frame_size(limits),
        codes.MAX_HEADER_LIST_SIZE: limits.max_headers_size,
    }
    if limits.websockets:
        values[codes.ENABLE_CONNECT_PROTOCOL] = 1
    config = h2.config.H2Configuration(
        client_side=False,
        header_encoding=None,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
        validate_inbound_headers=False,
        normalize_inbound_headers=False,
    )
    connection = _Connection(config)
    connection.local_settings = _Settings(client=False, initial_values=values)
    connection.max_inbound_frame_size = frames.max_frame_size(limits)
    connection.initiate_connection()
    connection.decoder.max_header_list_size = 2 * limits.max_headers_size
    window = min(limits.initial_connection_window_size, frames.MAX_WINDOW)
    if window > frames.DEFAULT_WINDOW:
        connection.increment_flow_control_window(window - frames.DEFAULT_WINDOW)
    connection.receive_data(PREFACE)
    return connection
