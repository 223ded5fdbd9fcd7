"""Django as WSGI: what the ASGI router runs in its threads (synthweb/asgi.py)."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "synthweb.settings")

application = get_wsgi_application()
