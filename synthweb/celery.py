"""Celery as a doorbell: a message carries one id and may be lost, late or doubled.

Publishing to a dead broker fails within 20 ms with these options; `synthweb/bell.py` catches that,
and the tick rings again. Priority 0 is the highest.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "synthweb.settings")
# Django's checks would load every page and API module into the worker: slower and larger.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")

from django.conf import settings

from synthweb.broker import celery_url

app = Celery("synthweb")
app.conf.update(
    broker_url=celery_url(settings.BROKER_URL),
    result_backend=None,
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    accept_content=["json"],
    task_serializer="json",
    task_publish_retry=False,
    broker_transport_options={
        "priority_steps": [0, 3, 6, 9],
        "queue_order_strategy": "priority",
        "socket_connect_timeout": 1,
        "socket_timeout": 3,  # a frozen broker takes connections and never answers
        "max_retries": 0,
    },
    task_default_queue="rollout",
    timezone="UTC",
)
app.autodiscover_tasks(["apps.worker"])
