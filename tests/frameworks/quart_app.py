import asyncio

import framework_parts as parts
from quart import Quart, request, send_file, websocket

app = Quart(__name__)


@app.while_serving
async def lifespan():
    state = app.config['STATE'] = await parts.state()
    yield
    parts.ended(state)


@app.get('/state')
async def state():
    return app.config['STATE']


@app.route('/gates/<name>', methods=['GET', 'POST'])
async def gate(name):
    return await parts.gate(name, request.method)


@app.get('/stream')
async def stream():
    return parts.pieces(request.args['gate']), {'Content-Type': 'text/plain'}


@app.get('/events')
async def events():
    lines = (f'data: {number}\n\n'.encode() async for number in parts.ticks(request.args['gate']))
    return lines, {'Content-Type': 'text/event-stream'}


@app.post('/tasks')
async def task():
    app.add_background_task(parts.later, request.args['gate'])
    return 'accepted', 202


@app.post('/upload')
async def upload():
    file, form = (await request.files)['file'], await request.form
    return parts.described(form['title'], file.filename, file.read())


@app.get('/download')
async def download():
    return await send_file(parts.DOWNLOAD, as_attachment=True, attachment_filename='download.bin')


@app.websocket('/echo')
async def echo():
    await websocket.accept(subprotocol='echo')
    try:
        while (message := await websocket.receive()) != 'bye':
            await websocket.send(message)
        await websocket.close(4000, 'farewell')
    except asyncio.CancelledError:  # so Quart tells that the client has gone
        parts.gates[websocket.args['gate']].set()
        raise
