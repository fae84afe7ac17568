"""The HTTP routes, and the WebSocket ones for `asgi.py`."""

from __future__ import annotations

from django.urls import path

from . import views
from .consumers import ChatConsumer

urlpatterns = [
    path('', views.index, name='index'),
    path('rooms/<slug:name>/', views.room, name='room'),
    path('rooms/<slug:name>/lately', views.lately, name='lately'),
    path('rooms/<slug:name>/events', views.events, name='events'),
]
websocket_urlpatterns = [path('ws/rooms/<slug:name>/', ChatConsumer.as_asgi())]
