"""Every setting, from the environment, safe by default. `docs/settings.md` lists what may be set.

The values that people may set are read with the helpers of `synthweb/env.py`, nowhere else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthweb import env
from synthweb.broker import broker_url, socket_path
from synthweb.databases import database_settings

BASE_DIR = Path(__file__).resolve().parent.parent

# Where data lives: database, files, runs, logs, secrets.
SYNTHWEB_HOME = env.path("SYNTHWEB_HOME", BASE_DIR / "var")
RUNS_DIR = SYNTHWEB_HOME / "runs"
RUN_DIR = SYNTHWEB_HOME / "run"  # sockets, pids, status files of running processes
BASE_MODELS_DIR = env.path("SYNTHWEB_BASE_MODELS", SYNTHWEB_HOME / "models")
MATH_PROBLEMS = env.text("SYNTHWEB_MATH_PROBLEMS")

# How people reach it.
HOST = env.text("HOST", "127.0.0.1")
PORT = env.integer("PORT", 8000, low=1, high=65535)
HTTPS = env.flag("SYNTHWEB_HTTPS")
_REACHED_AT = "127.0.0.1" if HOST in ("0.0.0.0", "::") else HOST  # noqa: S104
PUBLIC_URL = env.text("SYNTHWEB_URL").rstrip("/") or f"http://{_REACHED_AT}:{PORT}"
TASK_APP_PORT = env.integer("TASK_APP_PORT", PORT + 1 if PORT < 65535 else 1, low=1, high=65535)
ALLOWED_HOSTS = env.items("SYNTHWEB_HOSTS", f"127.0.0.1,localhost,[::1],{_REACHED_AT}")
CSRF_TRUSTED_ORIGINS = env.items("SYNTHWEB_TRUSTED_ORIGINS")
# Addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.
TRUSTED_PROXIES = env.items("SYNTHWEB_TRUSTED_PROXIES")
# How processes of this machine reach the web (the engine asks for a checkpoint's answers here).
INTERNAL_URL = env.text("SYNTHWEB_INTERNAL_URL").rstrip("/") or f"http://{_REACHED_AT}:{PORT}"

# How the web reaches the task app, which is a process of its own.
TASK_APP_INTERNAL_URL = f"http://{_REACHED_AT}:{TASK_APP_PORT}"
# What the task app has played, until the ticker takes it in.
TASK_APP_TRACES = SYNTHWEB_HOME / "task_app" / "traces.db"

# Outgoing: loopback and private host:port pairs that providers and task apps may name: those that
# this instance itself starts, and what the operator lists.
ALLOW_HOSTS = [
    *(f"{host}:{port}" for host in ("127.0.0.1", "localhost") for port in (PORT, TASK_APP_PORT)),
    *env.items("SYNTHWEB_ALLOW_HOSTS"),
]

# Base models that stand for others here, beside the aliases that the settings page holds.
MODEL_ALIASES = env.pairs("SYNTHWEB_MODEL_ALIASES")

DEBUG = env.flag("SYNTHWEB_DEBUG")
SECRETS_DIR = SYNTHWEB_HOME / "secrets"
SECRET_KEY = env.kept_secret("SYNTHWEB_SECRET_KEY", SECRETS_DIR / "secret_key")
# Encrypts provider keys; outside the database and its backup.
PROVIDER_SECRET = env.kept_secret("SYNTHWEB_PROVIDER_SECRET", SECRETS_DIR / "provider_secret")
# What clients of our own task app must send; aliases are further accepted keys.
ENVIRONMENT_API_KEY = env.kept_secret("ENVIRONMENT_API_KEY", SECRETS_DIR / "environment_api_key")
ENVIRONMENT_API_KEY_ALIASES = env.items("ENVIRONMENT_API_KEY_ALIASES")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_htmx",
    "ninja",
    "apps.accounts",
    "apps.providers",
    "apps.runs",
    "apps.traces",
    "apps.checkpoints",
    "apps.datasets",
    "apps.launch",
    "apps.inference",
    "apps.worker",
    "apps.api",
    "apps.synth",
    "apps.web",
    "synthweb",
]

# Workers and the ticker serve nobody: without the parts of pages they are 20 MB smaller.
if not env.flag("SYNTHWEB_PAGES", default=True):
    for _app in ("django.contrib.admin", "ninja", "django_htmx"):
        INSTALLED_APPS.remove(_app)

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "synthweb.middleware.SecurityHeaders",
    "synthweb.middleware.DatabaseAway",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "synthweb.urls"
WSGI_APPLICATION = "synthweb.wsgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Data

DATABASES = {"default": database_settings(env.secret("DATABASE_URL"), SYNTHWEB_HOME)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

S3_BUCKET = env.text("SYNTHWEB_S3_BUCKET")
if S3_BUCKET:
    _files: dict[str, Any] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": S3_BUCKET,
            "endpoint_url": env.text("SYNTHWEB_S3_ENDPOINT") or None,
            "access_key": env.secret("SYNTHWEB_S3_ACCESS_KEY") or None,
            "secret_key": env.secret("SYNTHWEB_S3_SECRET_KEY") or None,
            "file_overwrite": False,
            "querystring_auth": True,
        },
    }
else:
    _files = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": SYNTHWEB_HOME / "files", "base_url": None},
    }
STORAGES = {
    "default": _files,
    "staticfiles": {"BACKEND": "synthweb.static.VersionedStorage"},
}
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024
MAX_UPLOAD_BYTES = 2**20 * env.integer("SYNTHWEB_MAX_UPLOAD_MB", 2048, low=1, high=65536)

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]

# --- Messages between processes (doorbells only)

REDIS_URL = env.secret("REDIS_URL")
BROKER_SOCKET = socket_path(SYNTHWEB_HOME)
BROKER_URL = broker_url(REDIS_URL, BROKER_SOCKET)

# Slots of the local worker by need; a laptop does one of each.
SLOTS = {
    "rollout": env.integer("SYNTHWEB_SLOTS_ROLLOUT", 1, low=0, high=256),
    "train": env.integer("SYNTHWEB_SLOTS_TRAIN", 1, low=0, high=64),
    "serve": env.integer("SYNTHWEB_SLOTS_SERVE", 1, low=0, high=64),
}
# Whether `make up` installs the training packages in the background.
INSTALL_TRAIN = env.flag("SYNTHWEB_INSTALL_TRAIN", default=True)
# A worker that does not renew its lease within LEASE_SECONDS is replaced.
LEASE_SECONDS = env.integer("SYNTHWEB_LEASE_SECONDS", 30, low=2, high=3600)
RENEW_SECONDS = env.integer("SYNTHWEB_RENEW_SECONDS", 10, low=1, high=1200)
RETRY_BACK_OFF_SECONDS = env.integer("SYNTHWEB_RETRY_BACK_OFF_SECONDS", 2, low=0, high=600)
# A model server that nobody used for so long is stopped.
SERVE_IDLE_SECONDS = env.integer("SYNTHWEB_SERVE_IDLE_SECONDS", 900, low=5, high=7 * 86400)
# Of the six threads for pages; see synthweb/turns.py.
PAGES_AT_ONCE = env.integer("SYNTHWEB_PAGES_AT_ONCE", 2, low=1, high=6)
TICK_SECONDS = env.integer("SYNTHWEB_TICK_SECONDS", 3, low=1, high=60)

# --- Accounts and guard rails

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_NAME = "synthweb_session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 14 * 24 * 3600
CSRF_COOKIE_NAME = "synthweb_csrf"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if HTTPS:  # a proxy ends TLS in front of us and sets X-Forwarded-Proto
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

# --- Words and time

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

LOG_LEVEL = env.choice("SYNTHWEB_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # httpx tells every request at INFO: one line a model call.
    "loggers": {"django.db.backends": {"level": "INFO"}, "httpx": {"level": "WARNING"}},
}
