"""The Django project: settings, urls, the ASGI router, Celery, the supervisor, the bootstrap."""
