from contextlib import asynccontextmanager

import framework_parts as parts
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute


@asynccontextmanager
async def lifespan(app):
    state = await parts.state()
    yield state
    parts.ended(state)


async def state(request):
    return JSONResponse({'loop': request.state.loop})


async def gate(request):
    return PlainTextResponse(await parts.gate(request.path_params['name'], request.method))


async def stream(request):
    return StreamingResponse(parts.pieces(request.query_params['gate']), media_type='text/plain')


async def events(request):
    lines = (f'data: {number}\n\n' async for number in parts.ticks(request.query_params['gate']))
    return StreamingResponse(lines, media_type='text/event-stream')


async def task(request):
    return PlainTextResponse(
        'accepted', status_code=202, background=BackgroundTask(parts.later, request.query_params['gate'])
    )


async def upload(request):
    async with request.form() as form:
        file = form['file']
        return JSONResponse(parts.described(form['title'], file.filename, await file.read()))


async def download(request):
    return FileResponse(parts.DOWNLOAD, filename='download.bin')


async def echo(websocket):
    await websocket.accept('echo')
    while (message := await websocket.receive())['type'] == 'websocket.receive':
        if message.get('text') == 'bye':
            await websocket.close(4000, 'farewell')
            return
        await websocket.send({**message, 'type': 'websocket.send'})
    parts.gates[websocket.query_params['gate']].set()


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route('/state', state),
        Route('/gates/{name}', gate, methods=['GET', 'POST']),
        Route('/stream', stream),
        Route('/events', events),
        Route('/tasks', task, methods=['POST']),
        Route('/upload', upload, methods=['POST']),
        Route('/download', download),
        WebSocketRoute('/echo', echo),
    ],
)
