"""Run kind `import`: the sessions of a tracing v3 file become episodes.

inputs: {"file": {"path": file, "name": as the user called it}, "known": [sha256, …]}: sessions that
the project has already. The whole file is checked before the first episode is announced; a file
that is wrong anywhere fails the run and imports nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from engine.jobs.job import Job
from engine.rollout.importing import check_file, import_session, unknown_sessions
from engine.traces.codec import SUFFIX, encode_trace
from engine.traces.v3.meaning import seed_of
from engine.traces.v3.reader import TraceFile
from engine.traces.v3.session import Session

_EVERY = 50  # sessions between two words about the progress


def run(job: Job) -> dict[str, Any]:
    """Import what is not known yet. Raises StorageError for a file that is wrong, Cancelled."""
    file = job.inputs.get("file")
    if not isinstance(file, dict) or "path" not in file:
        raise ConfigError("An import run needs inputs.file: {path, name}.")
    known = frozenset(job.inputs.get("known") or ())
    with TraceFile(Path(file["path"]), name=str(file.get("name") or "")) as source:

        def checked(done: int, total: int) -> None:
            job.cancelled.check()
            if done % _EVERY == 0 or done == total:
                job.progress(0, total, "sessions")

        total = check_file(source, checked)
        job.values = {"sessions": total, "imported": 0, "known": total}
        for session, repeat in unknown_sessions(source, known):
            job.cancelled.check()
            _announce(job, session, repeat)
            values = job.values
            if values["imported"] % _EVERY == 0:
                job.progress(values["imported"], total, "sessions")
        job.progress(total, total, "sessions")
    return job.values


def _announce(job: Job, session: Session, repeat: int) -> None:
    job.values["imported"] += 1
    job.values["known"] -= 1
    if (seed_of(session), repeat) in job.finished:
        return
    trace, origin = import_session(session, repeat)
    summary = trace.summary
    path = f"traces/{summary.seed}-{summary.repeat}{SUFFIX}"
    payload = job.write_file(path, encode_trace(trace))
    data = {"summary": summary.to_json(), "payload": payload, "origin": origin._asdict()}
    job.events.write("episode", data)
