"""Run kind `verify`: play stored episodes again in this fresh process and compare every step.

inputs: {"traces": [{"id": any, "path": file, "sha256": hex or absent}]}.
A trace that does not verify is a finding, not a failure: its report says where and why.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from engine.errors import ConfigError, EngineError, StorageError
from engine.jobs.job import Job
from engine.rollout.replay import ReplayReport, replay
from engine.tasks import get_task
from engine.traces.codec import decode_trace
from engine.traces.record import Trace


def run(job: Job) -> dict[str, Any]:
    """Verify every trace of the inputs. Raises Cancelled between two; ConfigError without any."""
    traces = job.inputs.get("traces")
    if not isinstance(traces, list) or not traces:
        raise ConfigError("A verify run needs inputs.traces: a list of {id, path}.")
    reports: list[dict[str, Any]] = []
    for row in traces:
        job.cancelled.check()
        report = verify_file(Path(row["path"]), row.get("sha256"))
        reports.append({"id": row.get("id"), **report.to_json()})
        n_ok = sum(r["ok"] for r in reports)
        job.values = {"reports": reports, "n_ok": n_ok, "n_bad": len(reports) - n_ok}
        if not report.ok:
            job.events.log(f"Trace {row.get('id')} does not verify: {report.reason}.", "warning")
        job.progress(len(reports), len(traces), "episodes")
    return job.values


def verify_file(path: Path, sha256: str | None) -> ReplayReport:
    """Replay one stored trace. A file that is missing, changed or unreadable does not verify."""
    try:
        trace = read_trace(path, sha256)
        return replay(trace, get_task(trace.summary.task))
    except (EngineError, OSError) as err:
        return ReplayReport(False, None, str(err), 0)


def read_trace(path: Path, sha256: str | None) -> Trace:
    """A stored trace. Raises StorageError when it is not the one that was stored; OSError."""
    data = path.read_bytes()
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise StorageError("the file is not the one that was stored", retryable=False)
    return decode_trace(data)
