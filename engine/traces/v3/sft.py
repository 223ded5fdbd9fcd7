"""SFT records of sessions, one a model call, in the form and order of the `synth-ai` exporter.

Lives here: facts + calls -> records, for any source; sessions in memory as a source. Not here:
reading a file fast (`sft_file.py`), filters (`choosing.py`).

    {"messages": [system, user, assistant with tool_calls], "metadata": {"session_id": …, …}}
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from engine.traces.curation import Curator, led_to, turns_before
from engine.traces.v3.calls import Conversation, conversations
from engine.traces.v3.choosing import Facts, RewardRow, SftFilter, is_wanted
from engine.traces.v3.session import Session, load_object

_BEGIN = b'{"messages": '


class Call(NamedTuple):
    """One event of a model call with the conversations of its records."""

    metadata: Any  # JSON of the event's metadata, or the turn itself
    model: str | None
    provider: str | None
    conversations: list[Conversation]


class SftRecord(NamedTuple):
    """`line` is the record as a line of JSONL, its end included; its messages end at `end`.

    `achievement`: what the turn led to; "" for none and where the filter does not count them.
    """

    line: bytes
    end: int
    achievement: str
    tools: Sequence[Any] = ()  # definitions, where a caller adds them

    @property
    def messages(self) -> bytes:
        return self.line[len(_BEGIN) : self.end]


def session_records(session: Session, wanted: SftFilter) -> list[SftRecord]:
    """The records of a session in memory; none when the filter does not take it."""
    facts = _facts(session)
    if not is_wanted(facts, wanted):
        return []
    return records(facts, _calls(session), wanted)


def records(facts: Facts, calls: Iterable[Call], wanted: SftFilter) -> list[SftRecord]:
    """The records of a wanted session's calls, which come in order of their id."""
    made = Records(facts, wanted)
    for call in calls:
        made.add_call(call)
    return made.found


class Records:
    """The records of one session while they are made; its calls come in order of their id."""

    def __init__(self, facts: Facts, wanted: SftFilter) -> None:
        self.found: list[SftRecord] = []
        self._wanted = wanted
        self._new, self._turned = facts.new_unique, facts.turned_true
        self._near = None
        if wanted.turns_before_unlock is not None:
            self._near = turns_before(facts.new_unique, wanted.turns_before_unlock)
        head = f', "metadata": {{"session_id": {quoted(facts.session_id)}, "turn": '
        self._head = head.encode()
        self._next_turn = self._cumulative = 0

    def add_call(self, call: Call) -> None:
        turn = self.turn_of(call.metadata, call.model)
        if turn is not None:
            for said in call.conversations:
                messages, user_image, assistant_image, failed = said
                self.add(
                    turn, call.model, call.provider, (messages,),
                    user_image, assistant_image, failed,
                )  # fmt: skip

    def turn_of(self, metadata: Any, model: str | None) -> int | None:
        """Count a call; None when it is not wanted or says no usable turn."""
        if self._wanted.models and model not in self._wanted.models:
            return None
        turn = _turn(metadata, self._next_turn)
        if turn is not None and turn >= self._next_turn:
            self._next_turn = turn + 1
        return turn

    def add(
        self,
        turn: int,
        model: str | None,
        provider: str | None,
        messages: tuple[bytes, ...],
        user_image: bool = False,
        assistant_image: bool = False,
        failed: bool = False,
    ) -> None:
        """Add the record of a conversation in that turn, unless the filter leaves it out.

        `messages`: JSON in pieces, which are long: they are copied once.
        """
        new, turned = self._new.get(turn, ()), self._turned.get(turn, ())
        self._cumulative += len(new)
        if (self._near is not None and turn not in self._near) or (
            failed and self._wanted.drop_failed_calls
        ):
            return
        rest = _rest(
            model, provider, tuple(new), tuple(turned), self._cumulative,
            user_image, assistant_image,
        )  # fmt: skip
        about = b"%b%d%b" % (self._head, turn, rest)
        line = b"".join((_BEGIN, *messages, about))
        goal = led_to(self._new, turn) if self._wanted.max_per_achievement else ""
        self.found.append(SftRecord(line, len(line) - len(about), goal))


@lru_cache(maxsize=1024)
def _rest(
    model: str | None,
    provider: str | None,
    new: tuple[str, ...],
    turned: tuple[str, ...],
    cumulative: int,
    user_image: bool,
    assistant_image: bool,
) -> bytes:
    """A line from its model on; most turns of a session end alike."""
    return (
        f', "model": {quoted(model)}, "provider": {quoted(provider or "unknown")}, '
        f'"achievements": {{"new_unique": {_list(new)}, "turned_true": {_list(turned)}, '
        f'"cumulative_unique": {cumulative}}}, "user_has_image": {_bool(user_image)}, '
        f'"assistant_has_image": {_bool(assistant_image)}, '
        f'"has_image": {_bool(user_image or assistant_image)}}}}}\n'
    ).encode()


def curate(found: Iterable[SftRecord], wanted: SftFilter) -> Iterator[SftRecord]:
    """Without doubles and without too many for one achievement, as the filter says."""
    if not wanted.dedupe and wanted.max_per_achievement is None:
        yield from found
        return
    curator = Curator(dedupe=wanted.dedupe, max_per_achievement=wanted.max_per_achievement)
    for record in found:
        if curator.keeps(record.messages, record.achievement):
            yield record


def world_of(session_id: str, *metadata: Any) -> str:
    """The seed that a session or its outcome names, as text; the session's id without one."""
    for text in metadata:
        said = load_object(text)
        for word in ("seed", "env_seed"):
            if isinstance(said.get(word), int):
                return str(said[word])
    return session_id


def _facts(session: Session) -> Facts:
    outcomes = session.rows("outcome_rewards")
    said = [session.row.get("metadata"), *(row.get("reward_metadata") for row in outcomes)]
    facts = Facts(session.session_id, world_of(session.session_id, *said))
    events = session.rows("events")
    counts = Counter(
        (row["model_name"], row.get("provider"))
        for row in events
        if row["event_type"] == "cais" and row.get("model_name") is not None
    )
    for (model, provider), n_calls in sorted(
        counts.items(), key=lambda item: (item[0][0], item[0][1] or "")
    ):
        facts.add_model(model, provider, n_calls)
    about = {row["id"]: row.get("metadata") for row in events}
    for row in session.rows("event_rewards"):
        metadata = about.get(row["event_id"])
        facts.add_reward(
            RewardRow(row.get("reward_type"), row["reward_value"], row.get("annotation"), metadata)
        )
    for row in outcomes:
        facts.add_outcome(row["total_reward"], row.get("reward_metadata"))
    return facts


def _calls(session: Session) -> Iterator[Call]:
    for row in session.rows("events"):
        if row["event_type"] == "cais" and row.get("call_records") is not None:
            said = conversations(row["call_records"])
            yield Call(row.get("metadata"), row.get("model_name"), row.get("provider"), said)


def _turn(metadata: Any, next_turn: int) -> int | None:
    """`metadata.turn`, else the number in `turn_N` of its step, else counted on; None: unusable."""
    if isinstance(metadata, int):
        return metadata
    said = load_object(metadata)
    turn = said.get("turn")
    if turn is None:
        step = said.get("step_id")
        turn = step[5:] if isinstance(step, str) and step.startswith("turn_") else None
        return int(turn) if turn is not None and turn.isdigit() else next_turn
    try:
        return int(turn)
    except (TypeError, ValueError, OverflowError):
        return None


def quoted(text: str | None) -> str:
    """A string as JSON; `json.dumps` makes a new encoder each time, ten times slower."""
    return "null" if text is None else encode_basestring(text)


def _list(names: Iterable[str]) -> str:
    return json.dumps(list(names), ensure_ascii=False) if names else "[]"


def _bool(value: bool) -> str:
    return "true" if value else "false"
