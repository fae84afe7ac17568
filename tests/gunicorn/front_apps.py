"""Applications of the deployments that the tests start, as text."""

# Answers with JSON about the process and the request; a few paths do something else.
WSGI = """
import json, os, threading, time
imported_by = os.getpid()
barrier = threading.Barrier(3)
NAMES = ('REMOTE_ADDR', 'REMOTE_PORT', 'SCRIPT_NAME', 'PATH_INFO', 'QUERY_STRING', 'wsgi.url_scheme', 'wsgi.multiprocess',
         'PROXY_PROTOCOL', 'PROXY_ADDR', 'HTTP_X_TOKEN', 'HTTP_REMOTE_USER')

def application(environ, start_response):
    path = environ['PATH_INFO']
    if path.startswith('/sleep/'):
        time.sleep(float(path[7:]))
    if path.startswith('/end/'):
        os._exit(int(path[5:]))
    seen = {name: environ.get(name) for name in NAMES}
    if path.startswith('/others/'):  # waits until so many workers run such a request
        count, name = path.split('/')[2:]
        os.makedirs(name, exist_ok=True)
        open(f'{name}/{os.getpid()}', 'w').close()
        for _ in range(1000):
            if len(os.listdir(name)) >= int(count):
                break
            time.sleep(0.01)
    if path == '/meet':
        barrier.wait(10)
    if path == '/errors':
        environ['wsgi.errors'].write('said by the application\\n')
    seen.update(pid=os.getpid(), imported_by=imported_by, cwd=os.getcwd(), mode=os.environ.get('MODE'), ppid=os.getppid(),
                software=os.environ.get('SERVER_SOFTWARE'), listen_fds=os.environ.get('LISTEN_FDS'), uid=os.geteuid(), gid=os.getegid())
    body = json.dumps(seen).encode()
    start_response('200 OK', [('Content-Type', 'application/json'), ('X-Served-By', 'blue')])
    return [body]

def make(title='none', debug=True):
    def app(environ, start_response):
        start_response('200 OK', [('Content-Type', 'application/json')])
        return [json.dumps({'title': title, 'debug': debug}).encode()]
    return app
"""

ASGI = """
import json, os
started = []

async def application(scope, receive, send):
    if scope['type'] == 'lifespan':
        started.append(1)
        while True:
            message = await receive()
            await send({'type': message['type'] + '.complete'})
            if message['type'] == 'lifespan.shutdown':
                return
    body = json.dumps({'pid': os.getpid(), 'client': (scope.get('client') or [None])[0], 'scheme': scope['scheme'],
                       'root_path': scope['root_path'], 'path': scope['path'], 'lifespan': bool(started)}).encode()
    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-type', b'application/json')]})
    await send({'type': 'http.response.body', 'body': body})
"""
