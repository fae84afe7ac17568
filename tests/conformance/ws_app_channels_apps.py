"""Django pages by WSGI and Channels consumers by --ws-app, with one database: each message is a row."""

import os

import django
from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=['*'],
    CHANNEL_LAYERS={'default': {'BACKEND': 'channels.layers.InMemoryChannelLayer'}},
    DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': os.environ['DATABASE']}},
    INSTALLED_APPS=['django.contrib.contenttypes'],
    ROOT_URLCONF=__name__,
    SECRET_KEY='test',
)
django.setup()

from django.contrib.contenttypes.models import ContentType  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

call_command('migrate', verbosity=0)


def rows(request):
    return HttpResponse(', '.join(ContentType.objects.values_list('model', flat=True)))


def keep(text):
    return ContentType.objects.create(app_label='test', model=text).model


class Async(AsyncWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add('async', self.channel_name)
        await self.accept()

    async def receive(self, text_data=None, bytes_data=None):
        kept = await database_sync_to_async(keep)(text_data)
        await self.channel_layer.group_send('async', {'type': 'said', 'text': kept})

    async def said(self, event):
        found = await ContentType.objects.aget(model=event['text'])
        await self.send(found.model)


class Sync(WebsocketConsumer):
    def connect(self):
        async_to_sync(self.channel_layer.group_add)('sync', self.channel_name)
        self.accept()

    def receive(self, text_data=None, bytes_data=None):
        async_to_sync(self.channel_layer.group_send)('sync', {'type': 'said', 'text': keep(text_data)})

    def said(self, event):
        self.send(ContentType.objects.get(model=event['text']).model)


urlpatterns = [path('', rows)]
wsgi = get_wsgi_application()
asgi = ProtocolTypeRouter(
    {'websocket': URLRouter([path('async', Async.as_asgi()), path('sync', Sync.as_asgi())])}
)
