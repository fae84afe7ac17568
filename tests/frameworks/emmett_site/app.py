from emmett import App, Field, Form, redirect, request, session, url, websocket
from emmett.sessions import SessionManager
from emmett.tools import service, sse
from emmett_core.http.wrappers.response import ServerSentEvent

app = App(__name__)
app.pipeline = [SessionManager.cookies('a key of these tests alone, which no other server uses')]


@app.route('/')
async def index():
    """Return the form, and what was accepted from this visitor before."""
    form = await Form(
        {'name': Field(validation={'presence': True}), 'age': Field.int(validation={'gte': 18})},
        submit='Enter',
    )
    if form.accepted:
        session.guests = [*(session.guests or []), f'{form.params.name} ({form.params.age})']
        redirect(url('index'))
    return {'form': form, 'guests': session.guests or []}


@app.route('/facts/<str:name>')
@service.json
async def facts(name):
    return {'name': name, 'query': request.query_params.q, 'scheme': request.scheme, 'host': request.host}


@app.route('/events')
@sse()
async def events():
    for number in (1, 2, 3):
        yield ServerSentEvent(number)


@app.websocket('/echo')
async def echo():
    await websocket.accept()
    while True:
        await websocket.send(await websocket.receive())
