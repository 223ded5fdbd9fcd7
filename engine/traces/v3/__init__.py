"""Tracing v3, the SQLite form of `synth-ai`: schema, rows, writer, reader, SFT records.

A task app or an export does `TraceDb(path).write(build_session(trace, session_id="eval-3"))`.
"""

from engine.traces.v3.building import build_session
from engine.traces.v3.session import Session
from engine.traces.v3.writer import TraceDb

__all__ = ["Session", "TraceDb", "build_session"]
