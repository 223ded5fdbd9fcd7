"""Settings of the tests: a home of their own, cheap password hashes, the rest as in production."""

import os
import tempfile

os.environ.setdefault("SYNTHWEB_HOME", tempfile.mkdtemp(prefix="synthweb-test-"))

from synthweb.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
