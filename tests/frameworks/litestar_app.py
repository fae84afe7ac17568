from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import framework_parts as parts
from litestar import (
    HttpMethod,
    Litestar,
    MediaType,
    Request,
    Response,
    WebSocket,
    get,
    post,
    route,
    websocket,
)
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import State, UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import File, ServerSentEvent, Stream


@dataclass
class Form:
    title: str
    file: UploadFile


@asynccontextmanager
async def lifespan(app: Litestar):
    app.state.update(await parts.state())
    yield
    parts.ended(app.state)


@get('/state')
async def state(state: State) -> dict[str, str]:
    return {'loop': state.loop}


@route(
    '/gates/{name:str}',
    http_method=[HttpMethod.GET, HttpMethod.POST],
    status_code=200,
    media_type=MediaType.TEXT,
)
async def gate(request: Request, name: str) -> str:
    return await parts.gate(name, request.method)


@get('/stream')
async def stream(gate: str) -> Stream:
    return Stream(parts.pieces(gate), media_type='text/plain')


@get('/events')
async def events(gate: str) -> ServerSentEvent:
    return ServerSentEvent(parts.ticks(gate))


@post('/tasks', status_code=202)
async def task(gate: str) -> Response[str]:
    return Response('accepted', media_type=MediaType.TEXT, background=BackgroundTask(parts.later, gate))


@post('/upload', status_code=200)
async def upload(
    data: Annotated[Form, Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict[str, str | int]:
    return parts.described(data.title, data.file.filename, await data.file.read())


@get('/download', media_type='application/octet-stream')
async def download() -> File:
    return File(parts.DOWNLOAD, filename='download.bin')


@websocket('/echo')
async def echo(socket: WebSocket) -> None:
    await socket.accept(subprotocols='echo')
    while (message := await socket.receive())['type'] == 'websocket.receive':
        if message.get('text') == 'bye':
            await socket.close(4000, 'farewell')
            return
        await socket.send({**message, 'type': 'websocket.send'})
    parts.gates[socket.query_params['gate']].set()


HANDLERS = [state, gate, stream, events, task, upload, download, echo]
app = Litestar(HANDLERS, lifespan=[lifespan], openapi_config=None)
