"""SFT records straight from a tracing v3 file: streaming, in the original's order, fast.

Lives here: the queries and the quick way through them. Not here: what a record is (`sft.py`), which
sessions are wanted (`choosing.py`).

A call record is 10 KB of which a third is exported. SQLite takes the pieces out of it as the JSON
that they are, so nothing is parsed and written again. Each query gives one long text for a range of
sessions: SQLite then works without the interpreter's lock from its first row to its last, in a
thread beside the one that makes lines (a second one costs more than it gives). Whatever has not the
usual form (two messages of one text part, one tool call) goes the long way through `calls.py`.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from engine.traces.v3.calls import conversations
from engine.traces.v3.checks import check_header, check_tables, odd
from engine.traces.v3.choosing import ALL, UNIQUE, Facts, RewardRow, SftFilter, is_wanted
from engine.traces.v3.quick import (
    QUICK_CALLS,
    QuickCall,
    QuickMessages,
    has_failed,
    quick_calls,
    quick_turn,
)
from engine.traces.v3.reader import connect
from engine.traces.v3.sft import Call, Records, SftRecord, curate, records, world_of

AHEAD = 3  # ranges that are read before they are wanted
EVENTS_AT_ONCE = 800
_LAST = "\U0010ffff"


def _as_array(sql: str) -> str:
    """A query whose rows come as one text, an array of arrays."""
    cells = ", ".join(f"c{n}" for n in range(sql[: sql.index("FROM")].count(",") + 1))
    return (
        f"(WITH found({cells}) AS ({sql}) "  # noqa: S608
        f"SELECT json_group_array(json_array({cells})) FROM found)"
    )


_MODELS = _as_array("""SELECT session_id, model_name, provider, COUNT(*) FROM events
WHERE session_id > :low AND session_id <= :high AND +event_type = 'cais'
AND +model_name IS NOT NULL GROUP BY session_id, model_name, provider
ORDER BY session_id, model_name, provider""")
_REWARDS = _as_array("""SELECT r.session_id, r.reward_type, r.reward_value, r.annotation,
CASE WHEN r.reward_value > 0 THEN e.metadata END
FROM event_rewards r LEFT JOIN events e ON e.id = r.event_id
WHERE r.session_id > :low AND r.session_id <= :high
AND (:sums OR +r.reward_value > 0 AND +r.reward_type IN (:unique, :all))
ORDER BY r.session_id, r.id""")
_OUTCOMES = _as_array("""SELECT session_id, total_reward, reward_metadata FROM outcome_rewards
WHERE session_id > :low AND session_id <= :high ORDER BY session_id, id""")
_SEEDS = _as_array("""SELECT session_id, metadata FROM session_traces
WHERE session_id > :low AND session_id <= :high""")
_CALLS = """SELECT id, metadata, model_name, provider, call_records FROM events
WHERE session_id = ? AND +event_type = 'cais' AND call_records IS NOT NULL ORDER BY id"""
_ONE_CALL = "SELECT metadata, model_name, provider, call_records FROM events WHERE id = ?"


class _Rows(NamedTuple):
    """What is known of a range of sessions beside their calls; each a JSON text of rows."""

    models: str | None  # None: not counted, the calls say them
    rewards: str
    outcomes: str
    seeds: str


def file_records(path: Path | str, wanted: SftFilter) -> Iterator[SftRecord]:
    """The records of a file's sessions, by session id and event id. Raises StorageError."""
    path = Path(path)
    check_header(path)
    source = _Source(path, wanted)
    try:
        yield from curate(_in_order(source, source.bounds()), wanted)
    finally:
        source.close()


def _in_order(source: _Source, bounds: list[str]) -> Iterator[SftRecord]:
    """Ranges of sessions, a few ahead of whoever reads, in order."""
    waiting: deque[tuple[Future[bytes | None], str, str]] = deque()
    ranges = pairwise(bounds)
    with ThreadPoolExecutor(1, thread_name_prefix="sft") as pool:
        try:
            for low, high in ranges:
                waiting.append((pool.submit(source.read, low, high), low, high))
                if len(waiting) > AHEAD:
                    yield from _next_records(source, waiting)
            while waiting:
                yield from _next_records(source, waiting)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _next_records(
    source: _Source, waiting: deque[tuple[Future[bytes | None], str, str]]
) -> Iterator[SftRecord]:
    future, low, high = waiting.popleft()
    yield from source.make(future.result(), low, high)


class _Source:
    """A file with a connection for each of the two threads."""

    def __init__(self, path: Path, wanted: SftFilter) -> None:
        self.path, self.wanted = path, wanted
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._messages = QuickMessages()

    def bounds(self) -> list[str]:
        """Ids between which there are not too many events; the first and last hold all."""
        found, n_events = [""], 0
        try:
            db = self._db()
            check_tables(self.path, db)
            sql = "SELECT session_id, num_events FROM session_traces ORDER BY session_id"
            for session_id, n in db.execute(sql):
                n_events += n if isinstance(n, int) else 1
                if n_events > EVENTS_AT_ONCE:
                    found.append(session_id)
                    n_events = 0
        except sqlite3.Error as err:
            raise odd(self.path, "session_traces", f"SQLite cannot read it ({err})") from err
        return [*found, _LAST]

    def read(self, low: str, high: str) -> bytes | None:
        """The pieces of the calls of the sessions behind `low` up to `high`, for any thread.

        None: some cannot be taken to pieces, all have to go the long way.
        """
        try:
            where = {"low": low, "high": high}
            (text,) = self._db().execute(QUICK_CALLS, where).fetchone()
        except (sqlite3.OperationalError, sqlite3.DataError) as err:
            # SQLite is stricter about JSON than Python (NaN), or the text is too long for it.
            if any(word in str(err).lower() for word in ("json", "too big")):
                return None
            raise self._odd(err, low, high) from err
        except (sqlite3.Error, OverflowError) as err:
            raise self._odd(err, low, high) from err
        return text or b""

    def make(self, text: bytes | None, low: str, high: str) -> Iterator[SftRecord]:
        """The records of what `read` gave."""
        calls: dict[str, list[QuickCall]] = {}
        for call in quick_calls(text or b""):
            calls.setdefault(_names(call.names)[0], []).append(call)
        try:
            for facts in _facts(self._rows(low, high, counted=text is None), calls):
                if not is_wanted(facts, self.wanted):
                    continue
                if text is None:
                    yield from records(facts, self._slow_calls(facts.session_id), self.wanted)
                else:
                    yield from self._quick_records(facts, text, calls.get(facts.session_id, []))
        except (sqlite3.Error, OverflowError) as err:
            raise self._odd(err, low, high) from err

    def close(self) -> None:
        for db in self._opened:
            db.close()

    def _odd(self, err: Exception, low: str, high: str) -> Exception:
        place = f"sessions behind {low!r}" + ("" if high == _LAST else f" up to {high!r}")
        return odd(self.path, place, f"SQLite cannot read it ({err})")

    def _rows(self, low: str, high: str, *, counted: bool) -> _Rows:
        """Everything else in one answer: after each, this thread would wait for the other."""
        where = {
            "low": low, "high": high, "sums": bool(self.wanted.event_rewards),
            "unique": UNIQUE, "all": ALL,
        }  # fmt: skip
        # Who called most matters only to a filter that asks for it.
        counted = counted or bool(self.wanted.models or self.wanted.providers)
        models = _MODELS if counted else "NULL"
        seeds = _SEEDS if self.wanted.split != "all" else "'[]'"
        sql = f"SELECT {models}, {_REWARDS}, {_OUTCOMES}, {seeds}"
        return _Rows(*self._db().execute(sql, where).fetchone())

    def _quick_records(self, facts: Facts, text: bytes, calls: list[QuickCall]) -> list[SftRecord]:
        """A session's records; what has not the usual form goes the long way, call by call."""
        calls.sort()
        made = Records(facts, self.wanted)
        drops = self.wanted.drop_failed_calls
        for call in calls:
            number = quick_turn(call.turn)
            messages = () if number is None else self._messages.make(text, call)
            if not messages:
                made.add_call(self._slow_call(call.event_id))
                continue
            _, model, provider = _names(call.names)
            turn = made.turn_of(number, model)
            if turn is not None:
                made.add(turn, model, provider, messages, failed=drops and has_failed(call.answer))
        return made.found

    def _slow_calls(self, session_id: str) -> Iterator[Call]:
        for _, metadata, model, provider, text in self._db().execute(_CALLS, (session_id,)):
            yield Call(metadata, model, provider, conversations(text))

    def _slow_call(self, pk: int) -> Call:
        metadata, model, provider, text = self._db().execute(_ONE_CALL, (pk,)).fetchone()
        return Call(metadata, model, provider, conversations(text))

    def _db(self) -> sqlite3.Connection:
        if not hasattr(self._local, "db"):
            self._local.db = connect(self.path)
            # Pages are read once, one after another: a cache that the processor's holds is faster.
            self._local.db.execute("PRAGMA cache_size=-500")
            self._opened.append(self._local.db)
        db: sqlite3.Connection = self._local.db
        return db


def _facts(rows: _Rows, calls: Mapping[str, list[QuickCall]]) -> list[Facts]:
    found: dict[str, Facts] = {}
    if rows.models is None:
        for session_id, made in calls.items():
            models = (_names(call.names)[1] for call in made)
            model = next((name for name in models if name is not None), None)
            if model is not None:
                found[session_id] = Facts(session_id, session_id)
                found[session_id].add_model(model, None, 1)
    for session_id, model, provider, n_calls in json.loads(rows.models or "[]"):
        facts = found.setdefault(session_id, Facts(session_id, session_id))
        facts.add_model(model, provider, n_calls)
    for session_id, *reward in json.loads(rows.rewards):
        if session_id in found:
            found[session_id].add_reward(RewardRow(*reward))
    for session_id, total, metadata in json.loads(rows.outcomes):
        if session_id in found:
            found[session_id].add_outcome(total, metadata)
            found[session_id].world = world_of(session_id, metadata)
    for session_id, metadata in json.loads(rows.seeds):
        if session_id in found:
            world = world_of(session_id, metadata)
            found[session_id].world = world if world != session_id else found[session_id].world
    return [found[session_id] for session_id in sorted(found)]


@lru_cache(maxsize=256)
def _names(text: bytes) -> list[Any]:
    """Session, model and provider out of their JSON; the same few come again and again."""
    found: list[Any] = json.loads(text)
    return found
