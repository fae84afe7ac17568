from contextlib import asynccontextmanager

import framework_parts as parts
from fastapi import BackgroundTasks, FastAPI, Form, Request, UploadFile, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse
from fastapi.sse import EventSourceResponse


@asynccontextmanager
async def lifespan(app: FastAPI):
    state = await parts.state()
    yield state
    parts.ended(state)


app = FastAPI(lifespan=lifespan)


@app.get('/state')
async def state(request: Request):
    return {'loop': request.state.loop}


@app.api_route('/gates/{name}', methods=['GET', 'POST'], response_class=PlainTextResponse)
async def gate(request: Request, name: str):
    return await parts.gate(name, request.method)


@app.get('/stream')
async def stream(gate: str):
    return StreamingResponse(parts.pieces(gate), media_type='text/plain')


@app.get('/events', response_class=EventSourceResponse)
async def events(gate: str):
    async for number in parts.ticks(gate):
        yield number


@app.post('/tasks', status_code=202, response_class=PlainTextResponse)
async def task(gate: str, tasks: BackgroundTasks):
    tasks.add_task(parts.later, gate)
    return 'accepted'


@app.post('/upload')
async def upload(file: UploadFile, title: str = Form()):
    return parts.described(title, file.filename, await file.read())


@app.get('/download')
async def download():
    return FileResponse(parts.DOWNLOAD, filename='download.bin')


@app.websocket('/echo')
async def echo(websocket: WebSocket, gate: str):
    await websocket.accept('echo')
    try:
        while True:
            message = await websocket.receive()
            if message['type'] == 'websocket.disconnect':
                raise WebSocketDisconnect(message['code'])
            if message.get('text') == 'bye':
                await websocket.close(4000, 'farewell')
                return
            await websocket.send({**message, 'type': 'websocket.send'})
    except WebSocketDisconnect:
        parts.gates[gate].set()
