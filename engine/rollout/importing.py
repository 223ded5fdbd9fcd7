"""A tracing v3 file as episodes: checked whole before the first one is given.

Lives here: the order of things that job, command and ticker share. Not here: rows (`traces/v3`),
playing again (`resimulate.py`), where episodes are stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from engine.rollout.resimulate import resimulate
from engine.traces.record import Trace
from engine.traces.v3.checks import odd
from engine.traces.v3.meaning import read_trace, seed_of
from engine.traces.v3.reader import TraceFile
from engine.traces.v3.session import Session

Tell = Callable[[int, int], None]  # done, total


class Origin(NamedTuple):
    """Where an imported episode came from, and whether it came out the same when played again."""

    session_id: str
    sha256: str  # of the session's rows: the same session of the same file has the same
    verified: bool
    note: str


class Imported(NamedTuple):
    """One session as an episode of ours."""

    trace: Trace
    origin: Origin


def check_file(file: TraceFile, tell: Tell | None = None) -> int:
    """Read every session once and return how many there are.

    Raises StorageError naming table, row and reason for the first thing that is wrong, so that a
    file is taken whole or not at all.
    """
    total, done = file.count(), 0
    for session in file.sessions():
        read_trace(session)
        done += 1
        if tell is not None:
            tell(done, total)
    if done != total:
        said = f"{total} rows, of which {done} have a text as session_id"
        raise odd(file.path, "session_traces", said)
    return total


def import_session(session: Session, repeat: int) -> Imported:
    """The episode of a session, with pictures when it came out as recorded."""
    trace = read_trace(session, repeat=repeat)
    verdict = resimulate(trace, session)
    return Imported(trace, Origin(session.session_id, session.digest(), *verdict))


class Repeats:
    """Numbers the games of one seed within a run: 0, 1, 2 …"""

    def __init__(self) -> None:
        self._given: Counter[int] = Counter()

    def next(self, session: Session) -> int:
        """The number of this session's game. Called for every session, in the file's order."""
        seed = seed_of(session)
        self._given[seed] += 1
        return self._given[seed] - 1


def unknown_sessions(file: TraceFile, known: Collection[str]) -> Iterator[tuple[Session, int]]:
    """Sessions whose hash is not `known`, with the number of their game.

    Numbers do not depend on what is known, so an import that goes on gives the same ones.
    """
    repeats = Repeats()
    for session in file.sessions():
        repeat = repeats.next(session)
        if session.digest() not in known:
            yield session, repeat
