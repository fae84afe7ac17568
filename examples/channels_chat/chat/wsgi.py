"""Pages by WSGI in threads, consumers by ASGI beside them, in one process. See README.md."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'chat.settings')
application = get_wsgi_application()
