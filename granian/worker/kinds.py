"""The one place where core and adapter meet: which handler, in which core, for which interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..constants import Cores, Interfaces
from ..core.settings import Core, CoreSettings, Listeners
from ..protocol.interface import Limits

if TYPE_CHECKING:
    from ..config import Config
    from ..observe import Exchange


def prepare(config: Config) -> None:
    """What has to be done before the application is imported."""
    if config.core == Cores.gevent:
        from gevent import monkey

        monkey.patch_all()


def make_core(
    config: Config,
    listeners: Listeners,
    app: Any,
    on_exchange: Callable[[Exchange], None] | None = None,
) -> Core:
    """A worker's engine: the application in its adapter, the adapter in the core that fits it."""
    return _KINDS[config.interface](config, listeners, app, settings(config, on_exchange))


def settings(config: Config, on_exchange: Callable[[Exchange], None] | None = None) -> CoreSettings:
    """What every core is told; milliseconds become seconds."""
    interval = config.http2_keep_alive_interval
    return CoreSettings(
        limits=Limits(
            max_head_size=config.http1_max_head_size,
            max_headers=config.http1_max_headers,
            max_buffer_size=config.http1_buffer_size,
            keep_alive=config.http1_keep_alive,
            initial_connection_window_size=config.http2_initial_connection_window_size,
            initial_stream_window_size=config.http2_initial_stream_window_size,
            max_concurrent_streams=config.http2_max_concurrent_streams,
            max_frame_size=config.http2_max_frame_size,
            max_headers_size=config.http2_max_headers_size,
            max_send_buffer_size=config.http2_max_send_buffer_size,
            adaptive_window=config.http2_adaptive_window,
            websockets=config.websockets and config.interface != Interfaces.WSGI,
        ),
        http=config.http.value,
        backpressure=config.worker_backpressure,
        threads=config.worker_threads,
        thread_idle_timeout=config.blocking_threads_idle_timeout,
        head_timeout=config.http1_header_read_timeout / 1000,
        body_timeout=config.request_body_timeout,
        write_timeout=config.response_write_timeout,
        keep_alive_timeout=config.http1_keep_alive_timeout,
        handshake_timeout=config.ssl_handshake_timeout,
        http2_keep_alive_interval=interval / 1000 if interval else None,
        http2_keep_alive_timeout=config.http2_keep_alive_timeout,
        pipeline_flush=config.http1_pipeline_flush,
        tls=None,
        on_exchange=on_exchange,
    )


def _wsgi(config: Config, listeners: Listeners, app: Any, settings: CoreSettings) -> Core:
    from ..core.threads import ThreadCore
    from ..wsgi import make_handler

    return ThreadCore(
        listeners,
        settings,
        make_handler(
            app,
            url_path_prefix=config.url_path_prefix,
            multithread=settings.threads > 1,
            multiprocess=config.workers > 1,
        ),
    )


_KINDS: dict[Interfaces, Callable[[Config, Listeners, Any, CoreSettings], Core]] = {
    Interfaces.WSGI: _wsgi,
}
