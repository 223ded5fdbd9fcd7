"""`python -m tests.on_postgres PYTEST-ARGUMENTS`: pytest on a throw-away Postgres cluster."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.servers import postgres


def main(arguments: list[str]) -> int:
    """pytest's exit code; 0, loudly, where there is no Postgres."""
    if postgres.binaries() is None:
        print("!! SKIPPED: no Postgres server on this machine (apt install postgresql)")
        return 0
    with postgres.serve() as url:
        environment = {**os.environ, "DATABASE_URL": url}
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
