"""Settings of the tests: a home of its own per process, cheap password hashes, the rest as it is.

`DATABASE_URL` chooses Postgres; otherwise SQLite in a file, so that threads and child processes
meet the locks that they meet in production.
"""

import atexit
import os
import shutil
import tempfile

_home = tempfile.mkdtemp(prefix="synthweb-test-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["SYNTHWEB_HOME"] = _home
os.environ["SYNTHWEB_INSTALL_TRAIN"] = "0"

from synthweb.settings import *  # noqa: E402, F403
from synthweb.settings import DATABASES, SYNTHWEB_HOME  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if "sqlite" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["TEST"] = {"NAME": SYNTHWEB_HOME / "test.sqlite3"}
