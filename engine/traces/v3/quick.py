"""Taking a call record's pieces out in SQL, as the JSON that they are: nothing is parsed twice.

Lives here: the one query of `sft_file.py` that matters for its speed, and the way from its pieces
to messages. Only for records of the usual form: two messages of one text part each, one tool call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from engine.traces.v3.session import loads

_CELL, _END = b"\x1f", b"\x1e"  # no JSON contains them

# A record has the usual form when the pieces taken from it begin like this, and what follows are
# strings. The longest piece stands last, behind one in which no quote may be: so it is a string.
_USUAL_PROMPT = b'[null,null,null,null,"text","text","'
_PROMPT_PIECES = (
    "$[1]", "$[0].input_messages[2]", "$[0].input_messages[0].parts[1]",
    "$[0].input_messages[1].parts[1]", "$[0].input_messages[0].parts[0].type",
    "$[0].input_messages[1].parts[0].type", "$[0].input_messages[0].role",
    "$[0].input_messages[0].parts[0].text", "$[0].input_messages[1].role",
    "$[0].input_messages[1].parts[0].text",
)  # fmt: skip
_USUAL_ANSWER, _NO_CONTENT = b'[null,null,"', b'[null,null,null,"'
_MESSAGE = "$.choices[0].message"
_CALL = f"{_MESSAGE}.tool_calls[0]"
_ANSWER_PIECES = (
    f"{_MESSAGE}.tool_calls[1]", f"{_CALL}.name", f"{_MESSAGE}.content",
    f"{_CALL}.id", f"{_CALL}.function.name", f"{_CALL}.function.arguments",
)  # fmt: skip
_SENT = b'[{"role": "%b", "content": "%b"}, {"role": "%b", "content": "'
_SAID = (
    b'"}, {"role": "assistant", "content": "%b", "tool_calls": [{"id": "%b", '
    b'"type": "function", "function": {"name": "%b", "arguments": "%b"}}]}]'
)


def _quick_calls() -> str:
    """One text of cells: event id, names, turn, pieces of the answer, pieces of the prompt."""
    prompt = ", ".join(f"'{path}'" for path in _PROMPT_PIECES)
    answer = ", ".join(f"'{path}'" for path in _ANSWER_PIECES)
    output = "json_extract(call_records, '$[0].output_text')"
    cells = (
        "id",
        "json_array(session_id, model_name, provider)",
        "json_extract(metadata, '$.turn', '$.turn')",
        f"json_extract({output}, {answer})",
    )
    short = " || char(31) || ".join(f"ifnull({cell}, '')" for cell in cells)
    long = f"ifnull(json_extract(call_records, {prompt}), '')"
    row = f"{short} || char(30) || {long} || char(30)"
    wanted = "+event_type = 'cais' AND call_records IS NOT NULL"
    within = f"WHERE session_id > :low AND session_id <= :high AND {wanted}"
    return f"SELECT CAST(group_concat({row}, '') AS BLOB) FROM events {within}"  # noqa: S608


QUICK_CALLS = _quick_calls()


class QuickCall(NamedTuple):
    """A row of the query's text. Its prompt stays in the text: most of it is never looked at."""

    event_id: int
    names: bytes
    turn: bytes
    answer: bytes
    start: int  # of the prompt
    end: int


def quick_calls(text: bytes) -> Iterator[QuickCall]:
    """The rows of the query's text, in no order."""
    start = 0
    while start < len(text):
        middle = text.index(_END, start)
        end = text.index(_END, middle + 1)
        event_id, names, turn, answer = text[start:middle].split(_CELL)
        yield QuickCall(int(event_id), names, turn, answer, middle + 1, end)
        start = end + 1


def quick_turn(pieces: bytes) -> int | None:
    """The turn out of `[5,5]`; None when it is no plain number."""
    number = pieces[1 : pieces.find(b",")]
    return int(number) if number.isdigit() else None


class QuickMessages:
    """Makes messages of raw pieces of JSON.

    A quote inside a string of JSON has a backslash before it, so `","` stands between two strings,
    or at the end of one that ends in `",` itself; then the next piece begins with a quote.
    """

    def __init__(self) -> None:
        self._pieces, self._sent = b"\0", b""  # a prompt up to its last text, and as messages

    def make(self, text: bytes, call: QuickCall) -> tuple[bytes, ...]:
        """The messages of a row in pieces; none when it has not the usual form."""
        _, _, _, answer, start, end = call
        if not text.startswith(self._pieces, start) and not self._begin(text[start:end]):
            return ()
        if answer.startswith(_USUAL_ANSWER):
            said = answer[len(_USUAL_ANSWER) : -2].split(b'","')
        elif answer.startswith(_NO_CONTENT):
            said = [b"", *answer[len(_NO_CONTENT) : -2].split(b'","')]
        else:
            return ()
        if len(said) != 4:
            return ()
        content, call_id, name, arguments = said
        last = text[start + len(self._pieces) : end - 2]
        if not (last and call_id and name and arguments) or b'"' in call_id or b'"' in name:
            return ()
        return self._sent, last, _SAID % (content, call_id, name, arguments)

    def _begin(self, prompt: bytes) -> bool:
        """Take in what most prompts of a file share; False when it has not the usual form."""
        if not prompt.startswith(_USUAL_PROMPT):
            return False
        sent = prompt[len(_USUAL_PROMPT) : -2].split(b'","')
        if len(sent) != 4 or b"" in sent or b'"' in sent[0] or b'"' in sent[2]:
            return False
        self._pieces = prompt[: -2 - len(sent[3])]
        self._sent = _SENT % (sent[0], sent[1], sent[2])
        return True


def has_failed(answer: bytes) -> bool:
    """Whether the arguments of a usual answer are no JSON object."""
    return not isinstance(loads(loads(answer)[-1]), dict)
