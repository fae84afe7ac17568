"""The WebSocket side: one consumer for each open page."""

from __future__ import annotations

from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from . import history

LONGEST = 2000


class ChatConsumer(AsyncJsonWebsocketConsumer):
    """Joins its room's group; what one says, all of the group hear."""

    async def connect(self) -> None:
        self.room = self.scope['url_route']['kwargs']['name']
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if not isinstance(content, dict) or not isinstance(content.get('text'), str):
            await self.close(code=4400)
            return
        said = {'who': str(content.get('who') or 'somebody'), 'text': content['text'][:LONGEST]}
        history.rooms[self.room].append(said)
        await self.channel_layer.group_send(self.room, {'type': 'chat.said', 'said': said})

    async def chat_said(self, event: dict[str, Any]) -> None:
        await self.send_json(event['said'])
