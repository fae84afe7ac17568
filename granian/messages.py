"""Every refusal and every warning, with its text; spelled nowhere else. A test walks them all."""

from __future__ import annotations

REFUSALS = {
    'too_small': '{option}: {value!r} is less than the minimum allowed value of {limit}{unit}',
    'too_big': '{option}: {value!r} is greater than the maximum allowed value of {limit}{unit}',
    'wrong_type': '{option}: expected {what}, got {value!r}',
    'not_one_of': '{option}: {value!r} is not one of {choices}',
    'no_such_file': "{option}: no file at '{path}'",
    'no_such_dir': "{option}: no folder at '{path}'",
    'no_such_path': "{option}: nothing at '{path}'",
    'no_address': '--host is empty: give an address, 0.0.0.0 for all of this machine',
    'bad_forwarded': "forwarded: {value!r} is neither 'client' nor 'scheme'",
    'bad_network': '{error}',
    'bad_statsd': '--statsd: {error}',
    'bad_bind': '--bind: {error}',
    'bind_twice': '--bind says where to listen: leave out {option}',
    'reuse_port': '--reuse-port: this system has no SO_REUSEPORT',
    'target_not_text': "the target must be an import string such as 'module:app', got {value!r}",
    'no_target': "the target is empty: give an import string such as 'module:app'",
    'cert_without_key': '--ssl-certificate needs --ssl-keyfile as well',
    'key_without_cert': '--ssl-keyfile needs --ssl-certificate as well',
    'mounts_and_routes': 'each --static-path-mount needs a --static-path-route of its own: '
    'there are {mounts} mounts and {routes} routes',
    'route_twice': 'the same --static-path-route is given twice',
    'log_config_twice': 'give either --log-config or log_dictconfig, not both',
    'log_config_unreadable': "--log-config: cannot read '{path}': {error}",
    'log_config_not_object': "--log-config: '{path}' does not hold a JSON object",
    'log_file': '{option}: cannot write {path}: {reason}',
    'log_config_invalid': 'the logging configuration is not valid: {error}',
    'access_format': '--access-log-fmt: {error}',
    'gevent_missing': '--core gevent: gevent cannot be imported ({error}): pip install gevent',
    'gevent_half_patched': 'gevent has patched only a part of the standard library (not {missing}): '
    'call gevent.monkey.patch_all() without arguments, or leave it to --core gevent',
    'gevent_too_late': '--core gevent: the module {module!r} was imported before gevent could patch the '
    'standard library, and holds {names}, which would block the worker; name the application as '
    'module:attribute and do not import it before, or call gevent.monkey.patch_all() first of all',
    'gevent_needs_wsgi': '--core gevent runs WSGI applications only, not {interface}',
    'uds_on_windows': '--uds: there are no Unix sockets on Windows',
    'bad_pattern': '--reload-ignore-patterns: {pattern!r} is not a regular expression: {error}',
    'needs_extra': '{option} needs {module}, which is not installed: pip install granian[{extra}]',
    'env_file_unreadable': "--env-files: cannot read '{path}': {error}",
    'target_malformed': "'{target}' is not an import string: write 'module:attribute' or 'file.py:attribute'",
    'target_no_file': "could not load '{target}': there is no file '{path}'",
    'target_no_module': "could not load '{target}': no module '{module}' in {where}",
    'target_colon': "; an attribute stands behind a colon: '{parent}:{name}'",
    'target_arguments': "could not load '{target}': {error}",
    'target_no_attribute': "could not load '{target}': '{place}' has no attribute '{name}'",
    'target_not_callable': "--factory: '{target}' is not callable, it is of type {kind}",
    'server_header': '--server-header: {value!a} cannot be the value of a header',
    'no_such_loop': "--loop: there is no event loop '{loop}' here, only {available}",
    'host_with_port': '--host takes no port: write --host {host} --port {port}, or --bind {given}',
    'app_factory': '{app} takes no arguments, as an application factory does: start it with --factory',
    'target_call': "could not load '{target}': a call in it may have literal arguments only",
    # The command line's own: click says which option it is about.
    'cli_habit': '{option} is an option of another server; here it is {instead}',
    'cli_gunicorn': '{option} is an option of gunicorn, without a counterpart here; see `granian gunicorn`',
    'cli_octal': '{value!r} is not a valid octal or decimal number',
    'cli_octal_range': '{value!r} is not in the range {low:#o} to {high:#o}',
    'cli_empty_path': 'the path is empty',
    'cli_duration': '{value!r} is not a valid duration',
    'cli_duration_long': "'{value}' is greater than the maximum allowed value of {limit} seconds",
    'cli_duration_short': "'{value}' is less than the minimum allowed value of {limit} seconds",
    # Where to listen
    'listen': 'cannot listen on {where}: {reason}',
    'listen_metrics': '--metrics: cannot listen on {where}: {reason}',
    'listen_stale': 'cannot replace the stale socket {where}: {reason}',
    'few_descriptors': 'no worker can serve under the limit of open files, {limit} '
    '(has the application lowered it?)',
    'pid_running': 'the pid file {path} names a running process ({pid})',
    'pid_unwritable': 'cannot write the pid file {path}: {reason}',
    'pid_unreadable': 'cannot read the pid file {path}: {reason}',
    # TLS
    'tls_ciphers': '--ssl-ciphers: OpenSSL knows no cipher in {ciphers!r}',
    'tls_hook': 'the ssl_context hook failed: {kind}: {error}',
    'tls_hook_result': 'the ssl_context hook must return an ssl.SSLContext, not {kind}',
    'tls_unreadable': 'the {what} {path} cannot be read: {reason}',
    'tls_other': 'the {what} {path} holds no {kind} in PEM form',
    'tls_damaged': 'the {what} {path} is damaged: {reason}',
    'tls_pair': 'the TLS key {key} does not belong to the certificate {certificate}',
    'tls_weak': 'the TLS certificate {certificate} is too weak for OpenSSL: {reason}',
    'tls_encrypted': 'the TLS key {key} is encrypted: give its password with --ssl-keyfile-password',
    'tls_password': 'the TLS key {key} cannot be decrypted with the password given',
    'tls_key': 'the TLS key {key} is damaged, or the chain in {certificate} is: {reason}',
    # The application
    'app_not_callable': 'the application cannot be called: it is of type {kind}',
    'app_unknown': '--interface auto: cannot tell what {app} is; say --interface asgi, rsgi or wsgi',
    'app_other': '{app} looks like {name}, {called_as}: start it with --interface {found} (not {asked})',
    'ws_app_wsgi': '--ws-app: {app} looks like a WSGI application; WebSockets need an ASGI or RSGI one',
    'app_not_asgi': 'the application does not take (scope, receive, send): {app!r} is not an ASGI 3 '
    'application; see --interface',
    'app_asgi_2': '{app!r} takes one argument, as ASGI 2 applications do; ASGI 3 is needed: '
    'wrap it with asgiref.compatibility.guarantee_single_callable',
    'lifespan_missing': '--lifespan on: the application does not support lifespan{why}',
    'lifespan_asginl': '--lifespan on contradicts --interface asginl, which is ASGI without lifespan',
    'app_failed': 'the application failed to start: {reason}',
    'app_broken': 'cannot load the application {target!r} in {folder!r}: {kind}: {error}',
    'app_exits': 'cannot load the application {target!r} in {folder!r}: it called sys.exit({code!r})',
    'hook_failed': 'the {name} hook failed: {kind}: {error}',
    'internal': 'internal error in a worker: {kind}: {error}',
    # Kinds of server
    'not_picklable': '{name} cannot be sent to a worker (multiprocessing start method {method!r}): {error}; '
    'define it at the top level of a module',
    'no_such_user': "No such user: '{name}'",
    'no_such_group': "No such group: '{name}'",
    'no_folder': 'the current folder cannot be entered: {reason}; change to one that exists, and start there',
    'no_entry': "a worker cannot enter '{path}' (--working-dir): {reason}",
    'cannot_become': 'a worker cannot become {who} (--user, --group): {reason}',
    'cannot_give': "cannot give '{path}' to the user of the workers (--user, --group): {reason}",
    'no_room': 'cannot start {workers} workers: {reason}; raise the limit (ulimit -u, -n) or lower --workers',
    'needs_fork': "{what} needs workers that are forked, not multiprocessing's start method {method!r}",
    'needs_processes': '{what} needs workers that are processes',
    'gevent_needs_processes': '--core gevent needs workers that are processes',
    'embedded_wsgi': 'an embedded server serves ASGI and RSGI only, not WSGI',
    'embedded_option': 'an embedded server cannot have {option}',
}
"""Errors: the server does not start. Placeholders are filled where it is raised."""

WARNINGS = {
    'threads_run': "Waiting for the application's threads to end: {names}",
    'exited': 'The application has tried to end the worker outside of a request: it serves until replaced',
    'needs': '{option} has no effect without {other}',
    'other_interface': '{option} has no effect on {interface} applications',
    'other_http': '{option} has no effect with --http {http}',
    'compatibility': '{option} is accepted for compatibility and has no effect',
    'task_impl': '--task-impl rust is not available here: asyncio is used',
    'no_setproctitle': '--process-name has no effect without setproctitle: pip install granian[pname]',
    'service_address': '{variable}={value} is not an option: Kubernetes sets it for a service named granian',
    'unknown_variable': '{variable} is not the variable of an option{hint}',
    'port_with_uds': '{option} has no effect with --uds',
    'client_verify': '--ssl-client-verify has no effect without --ssl-ca: clients are not verified',
    'adaptive_window': '--http2-adaptive-window has no effect with --http2-engine h2',
    'head_size': '--http1-max-head-size is above --http1-buffer-size: {buffer} is used for both',
    'permissions': '--uds-permissions: {value} without a leading 0 is decimal, and stands for the mode '
    '{value:04o}: write 0{value} if that is what was meant',
    # With logging's placeholders, from here on.
    'statsd_unresolved': '--statsd: the name of the server cannot be resolved: no figures until it can be',
    'in_use': 'Connection in use: %s; trying again in one second',
    'passed_sockets': 'Listening on the sockets passed to this process (%d), not on those of the options',
    'refused': 'Refused a request from %s with %d: %s%s',
    'no_ipv6': 'Not listening on %s: this machine has no IPv6',
    # While it serves.
    'no_lifespan': 'ASGI application without lifespan support%s; --interface asginl says so',
    'wsgi_websocket': '%s %s asks for a WebSocket, which the WSGI application did not answer: '
    'name an ASGI or RSGI application for WebSockets by --ws-app',
    'ws_unfinished': 'WebSocket messages that have begun and not ended hold %d MiB: '
    'closing the oldest with 1013',
    'log_not_reopened': '%s cannot be opened again (%s): lines go on into the file that is open',
    'overdue': '%s has not stopped within %g seconds: killing it',
    'last_worker': 'Ignoring SIGTTOU: one worker left',
    'no_worker': 'Ignoring SIGTTOU: no worker left',
    'start_overdue': '%s has not loaded the application within %g seconds: killing it '
    '(--workers-start-timeout)',
    'terminated': '%s stops: another process has sent it %s',
    'worker_timeout': 'WORKER TIMEOUT (pid:%d): hangs for more than %g seconds (--worker-timeout), in %s',
    'no_life': 'WORKER TIMEOUT (pid:%s): no sign of life for %g seconds (--worker-timeout): killing it; its '
    'process is stopped, or one thread holds the interpreter lock (stacks on standard error)',
    'crash_loop': 'worker-%d has died %d times in a row soon after its start: from now on %g seconds pass '
    'between two starts',
    'gives_up': 'worker-%d has died %d times in a row soon after its start: giving up',
    'metrics_later': '--metrics: the old main process has %s: the metrics are there once it has ended',
    'upgrading': 'Ignoring SIGUSR2: there is a second main process already',
    'not_again': 'The command cannot be started again: %s',
    'no_forkserver': 'The fork server cannot be started (no folder for its socket): workers are spawned',
    'static_broken': 'Static file %s: %s',
    'no_descriptors': 'Cannot accept connections for the moment: %s (raise the limit of open files?)',
    'making_room': 'Closing idle and incomplete connections for new ones: %s '
    '(raise the limit of open files?)',
    'accept_failed': 'Cannot accept a connection: %s',
    'accept_paused': 'Cannot accept a connection: %s; trying again in %.1f s',
    'limit_raised': 'The application has lowered the limit of open files to %d: raised to %d again',
    'limit_too_low': 'The application has lowered the limit of open files to %d, for good: no connection can '
    'be accepted, the worker is replaced',
    'task_factory': 'The task factory of the event loop raises: requests run without it',
    'gevent_held': 'A request has kept this worker from all others for more than a second, without yielding '
    'to gevent. It is here:\n%s',
    'gevent_unpatched': '--core gevent: imported before gevent could patch the standard library: %s; '
    'these block the worker while they wait (gevent.monkey.patch_all() first of all avoids it)',
    'frame_size': '--http2-max-frame-size: {value} is below what HTTP/2 allows, 16384 is used',
}
"""One line in the log; the server starts."""


def refusal(name: str, /, **values: object) -> str:
    """Return a text of REFUSALS with its placeholders filled."""
    return REFUSALS[name].format(**values)


LINES = {
    'starting': 'Starting granian (main PID: %d)',
    'shutting_down': 'Shutting down granian',
    'booting': 'Booting worker with pid: %s (worker-%d)',
    'started': 'Started %s',
    'stopping': 'Stopping %s',
    'ended': '%s (PID %s) ended %s: %s',
    'reloading': 'Reloading the workers',
    'hook_failed': 'The %s hook failed',
}
"""Lines of the log that the gunicorn command line leaves out, or says in gunicorn's words."""

GUNICORN = {
    'warn': "gunicorn's {name} has no effect here: {reason}",
    'differs': "gunicorn's {name}={value}: {difference}",
    'refuse': "gunicorn's {name}={value} is not available: {reason}; {instead}",
    'class_methods': 'worker class {name}: {methods} are not called here',
    'kwargs': 'worker class {name}: CONFIG_KWARGS {keys} have no effect here',
    'eventlet': "gunicorn's worker_class=eventlet: eventlet is not used, gevent is",
    'geventwebsocket': "GeventWebSocketWorker: environ has 'gunicorn.socket' here, not 'wsgi.websocket'",
    'no_gunicorn': '{what} imports gunicorn, which is not installed: pip install gunicorn (it is only '
    'imported), or {instead}',
    'no_attribute': "granian's gunicorn front has no {kind}.{name}",
    'in_use': 'Connection in use: %s',
    'no_address': "Can't connect to %s",
    'atom': 'access_log_format: there is no atom {name!r}, it is written as -',
    'signalled': 'Worker (pid:%s) was sent %s!',
    'restart': "gunicorn's {names}: a change has an effect at the next start, not at SIGHUP",
    'native': 'The same natively: %s',
    'python_only': 'Not in that command line, but in Python: %s',
    'logger_class': 'logger_class {name}: its access() is called for each request, which is slow',
    'left': 'the worker has left with status {status}',
    'no_module': '{text!r} names no module',
    'app_file': 'Failed to find application, did you mean {hint!r}?',
    'factory': 'the application takes no arguments: it is called as a factory, as uvicorn does',
    'reload_preload': "gunicorn's preload_app has no effect with reload",
    'read_only': 'pre_request: a change of req.{name} has no effect here',
    'loaded': 'worker.wsgi is set too late, the application is loaded: set worker.app.callable in post_fork',
    'reload_failed': '{error}; everything goes on as before',
    'hook_failed': 'Exception in the {name} hook: {kind}: {error}',
    'windows': 'the gunicorn command line needs fork: it is not available on Windows',
}
"""The gunicorn command line's own, errors and warnings."""
