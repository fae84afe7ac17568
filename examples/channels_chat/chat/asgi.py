"""`granian --interface asgi --working-dir examples/channels_chat chat.asgi:application`"""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'chat.settings')
http = get_asgi_application()  # before what imports models, as Django asks

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator

from .urls import websocket_urlpatterns

application = ProtocolTypeRouter(
    {'http': http, 'websocket': AllowedHostsOriginValidator(URLRouter(websocket_urlpatterns))}
)
