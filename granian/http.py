"""HTTP settings as the Python API groups them. Sizes in bytes, times in the unit each one names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class HTTP1Settings:
    header_read_timeout: int = 30_000
    """Milliseconds allowed to send a whole request head."""
    keep_alive: bool = True
    max_buffer_size: int = 417_792
    pipeline_flush: bool = False


@dataclass
class HTTP2Settings:
    adaptive_window: bool = False
    initial_connection_window_size: int = 1_048_576
    initial_stream_window_size: int = 1_048_576
    keep_alive_interval: int | None = None
    """Milliseconds between PINGs; None: none are sent."""
    keep_alive_timeout: int = 20
    """Seconds."""
    max_concurrent_streams: int = 200
    max_frame_size: int = 16_384
    max_headers_size: int = 65_536
    max_send_buffer_size: int = 409_600
