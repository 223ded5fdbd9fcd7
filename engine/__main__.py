"""`python -m engine RUN_DIR`: run one attempt at one shard, from RUN_DIR/config.json.

Writes RUN_DIR/events.jsonl (see engine/events/), whose last event is always `result`, and files
beside it. Exit status: 0 succeeded, 3 failed with a result, 4 cancelled, 5 lease lost (no result).
Without a supervisor it simply runs and shows its progress; Ctrl-C stops it, the same command goes
on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path

from engine.errors import Cancelled, EngineError, LeaseLost
from engine.events import ErrorData
from engine.jobs import load_job
from engine.jobs.job import Job, open_job
from engine.lease import (
    EXIT_LEASE_LOST,
    Cancellation,
    arm_parent_death,
    cancel_on_signal,
    is_supervised,
    lock_directory,
    watch_lease,
)

EXIT_FAILED = 3
EXIT_CANCELLED = 4


def main(arguments: list[str] | None = None) -> int:
    """Run the directory named on the command line; see the module for the exit status."""
    supervised = is_supervised(os.environ)
    if supervised:
        arm_parent_death(os.environ)
    # Before anything imports torch: with any other load on the machine, OpenMP threads that spin
    # at barriers make training 3-4 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="RUN_DIR")
    directory = parser.parse_args(arguments).directory
    cancelled = Cancellation()
    try:
        lock_directory(directory)
        watch_lease(os.environ, cancelled)
        cancel_on_signal(cancelled)
        job = open_job(directory, cancelled, console=not supervised)
    except EngineError as err:
        print(f"{err} {err.hint}".strip(), file=sys.stderr)
        return EXIT_LEASE_LOST if isinstance(err, LeaseLost) else EXIT_FAILED
    return run(job)


def run(job: Job) -> int:
    """Run a job to its end and write its result, whatever happens short of the process dying."""
    code, error = 0, None
    try:
        job.values = {**job.values, **load_job(job.kind)(job)}
    except LeaseLost:
        return EXIT_LEASE_LOST
    except EngineError as err:
        code = EXIT_CANCELLED if isinstance(err, Cancelled) else EXIT_FAILED
        error = _describe(err.code, str(err), err.hint, err.retryable)
    except KeyboardInterrupt:
        code, error = EXIT_CANCELLED, _describe("cancelled", "Stopped by hand.", "", False)
    except MemoryError:
        code = EXIT_FAILED
        hint = "Lower concurrency or batch size, or give the worker more memory."
        error = _describe("out_of_memory", "The run ran out of memory.", hint, True)
    except Exception as err:  # the boundary: a run must say how it ended
        traceback.print_exc()
        job.events.log(traceback.format_exc()[-4000:], "error")
        hint = "This is a bug in synthweb; the run's log has the traceback."
        code = EXIT_FAILED
        error = _describe("crash", f"{type(err).__name__}: {err}", hint, True)
    job.events.write("result", {"ok": error is None, "values": job.values, "error": error})
    job.events.close()
    return code


def _describe(code: str, message: str, hint: str, retryable: bool) -> ErrorData:
    return {"code": code, "message": message, "hint": hint, "retryable": retryable}


if __name__ == "__main__":
    sys.exit(main())
