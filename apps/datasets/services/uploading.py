"""Datasets out of files that people bring: every line checked, nothing half imported."""

from __future__ import annotations

import json
from typing import Any, BinaryIO, NoReturn

from apps.accounts.errors import Refused
from apps.accounts.models import Project, User
from apps.datasets.models import Dataset
from apps.datasets.records import Record, dump_record
from apps.datasets.services.making import check_name
from apps.datasets.services.writing import World, add_version, line_writer
from apps.datasets.statistics import Statistics

MAX_BYTES = 1024 * 1024 * 1024
MAX_LINE = 4 * 1024 * 1024
MAX_RECORDS = 2_000_000
MAX_MESSAGES = 2_000
MAX_CALLS = 128
MAX_DEPTH = 32
MAX_MISTAKES = 20
MAX_WORLDS = 200_000


class _Wrong(ValueError):
    """Why a line is no record; `where` names the place in it."""


def upload_dataset(*, project: Project, user: User | None, name: str, file: BinaryIO) -> Dataset:
    """Make a version of a JSONL file of chat records, line by line.

    Safe to call twice: the same content is the same version. Raises Refused: 422 with the first
    twenty lines that are wrong and why, 413 for a file, line or number of lines above the limits.
    """
    name = check_name(name)
    statistics = Statistics()
    worlds: dict[tuple[str, str, int], int] = {}
    mistakes: dict[str, str] = {}
    with line_writer() as writer:
        lines = iter(lambda: file.readline(MAX_LINE + 1), b"")
        for number, line in enumerate(lines, start=1):
            _check_size(number, len(line), writer.size_bytes)
            if not line.strip():
                continue
            try:
                record = read_record(line)
                stored = dump_record(record)
            except ValueError as err:  # a lone surrogate is one too
                mistakes[f"line {number}"] = str(err)
                if len(mistakes) >= MAX_MISTAKES:
                    break
                continue
            writer.write(stored)
            statistics.add_record(record, len(stored))
            _note_world(worlds, record)
        _refuse(mistakes, statistics.n_records)
        written = writer.store()
    return add_version(
        project=project,
        name=name,
        written=written,
        worlds=[World(None, *world, n) for world, n in worlds.items()],
        source="upload",
        words=f"Uploaded: {statistics.n_records} records.",
        statistics=statistics.to_json(),
        n_records=statistics.n_records,
        created_by=user,
    )


def read_record(line: bytes) -> Record:
    """A line as a record. Raises ValueError that says what is wrong, and where in the line."""
    try:
        record = json.loads(line.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as err:
        raise _Wrong(f"not UTF-8 at byte {err.start}") from err
    except json.JSONDecodeError as err:
        raise _Wrong(f"no JSON: {err.msg} at column {err.colno}") from err
    except RecursionError as err:
        raise _Wrong("nested too deeply") from err
    if not isinstance(record, dict):
        raise _Wrong("expected an object with messages")
    _check_depth(record)
    messages = record.get("messages")
    if not isinstance(messages, list) or not 1 <= len(messages) <= MAX_MESSAGES:
        raise _Wrong(f"messages: expected a list of 1 to {MAX_MESSAGES}")
    for index, message in enumerate(messages):
        _check_message(message, f"messages[{index}]")
    if not isinstance(record.get("tools", []), list | None):
        raise _Wrong("tools: expected a list")
    if not isinstance(record.get("metadata", {}), dict):
        raise _Wrong("metadata: expected an object")
    return record


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, dict):
        raise _Wrong(f"{where}: expected an object")
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise _Wrong(f"{where}.role: expected a text such as user")
    if not isinstance(message.get("content"), str | list | dict | None):
        raise _Wrong(f"{where}.content: expected a text, a list, an object or null")
    calls = message.get("tool_calls")
    if calls is None:
        return
    if not isinstance(calls, list) or len(calls) > MAX_CALLS:
        raise _Wrong(f"{where}.tool_calls: expected a list of at most {MAX_CALLS}")
    for index, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or not name:
            raise _Wrong(f"{where}.tool_calls[{index}].function.name: expected a text")


def _check_depth(value: Any) -> None:
    """Refuse what is nested deeper than any record needs; without recursion of our own."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        level = inner
        if not level:
            return
    raise _Wrong(f"nested deeper than {MAX_DEPTH} levels")


def _check_size(number: int, length: int, total: int) -> None:
    if length > MAX_LINE:
        raise _too_large(f"Line {number} is longer than {MAX_LINE // 2**20} MiB.")
    if number > MAX_RECORDS:
        raise _too_large(f"The file has more than {MAX_RECORDS:,} lines.")
    if total + length > MAX_BYTES:
        raise _too_large(f"The file is larger than {MAX_BYTES // 2**20} MiB (line {number}).")


def _too_large(message: str) -> Refused:
    return Refused("too_large", message, "Cut it into several datasets.", status=413)


def _refuse(mistakes: dict[str, str], n_records: int) -> None:
    if mistakes:
        where, why = next(iter(mistakes.items()))
        more = f" ({len(mistakes)} lines are wrong)" if len(mistakes) > 1 else ""
        raise Refused(
            "bad_record",
            f"{where}: {why}{more}",
            'A line is {"messages": [{"role": "user", "content": "…"}, …]}.',
            status=422,
            fields=mistakes,
        )
    if not n_records:
        raise Refused("empty_file", "The file has no records.", status=422)


def _note_world(worlds: dict[tuple[str, str, int], int], record: Record) -> None:
    """Remember the world that a record of ours came from: leaks are seen after a round trip."""
    known = record.get("metadata") or {}
    seed, task, version = known.get("seed"), known.get("task"), known.get("world_version", "")
    if not isinstance(seed, int) or isinstance(seed, bool) or abs(seed) >= 2**63:
        return
    if not isinstance(task, str) or not isinstance(version, str):
        return
    key = (task[:60], version[:60], seed)
    if key in worlds or len(worlds) < MAX_WORLDS:
        worlds[key] = worlds.get(key, 0) + 1


def _no_constant(word: str) -> NoReturn:
    raise _Wrong(f"{word} is no JSON number")
