"""Taking a call record's pieces out in SQL, as the JSON that they are: nothing is parsed twice.

Lives here: the one query of `sft_file.py` that matters for its speed, and the way from its pieces
to messages. Only for records of the usual form: two messages of one text part each, one tool call.
"""

from __future__ import annotations

from engine.traces.v3.session import loads

ROW, CELL = b"\x1e", b"\x1f"  # between rows and cells: no JSON contains them

# A record has the usual form when the pieces taken from it begin like this.
_USUAL_PROMPT = b'[null,null,null,null,"text","text","'
_PROMPT_PIECES = (
    "$[1]", "$[0].input_messages[2]", "$[0].input_messages[0].parts[1]",
    "$[0].input_messages[1].parts[1]", "$[0].input_messages[0].parts[0].type",
    "$[0].input_messages[1].parts[0].type", "$[0].input_messages[0].role",
    "$[0].input_messages[0].parts[0].text", "$[0].input_messages[1].role",
    "$[0].input_messages[1].parts[0].text",
)  # fmt: skip
_USUAL_ANSWER, _NO_CONTENT = b'[null,"', b'",null]'
_MESSAGE = "$.choices[0].message"
_ANSWER_PIECES = (
    f"{_MESSAGE}.tool_calls[1]", f"{_MESSAGE}.tool_calls[0].id",
    f"{_MESSAGE}.tool_calls[0].function.name", f"{_MESSAGE}.tool_calls[0].function.arguments",
    f"{_MESSAGE}.content",
)  # fmt: skip
_MESSAGES = (
    b'[{"role": "%b", "content": "%b"}, {"role": "%b", "content": "%b"}, '
    b'{"role": "assistant", "content": "%b", "tool_calls": [{"id": "%b", "type": "function", '
    b'"function": {"name": "%b", "arguments": "%b"}}]}]'
)


def _quick_calls() -> str:
    """One text of rows: event id, session, model, provider, turn, pieces of prompt and answer."""
    prompt = ", ".join(f"'{path}'" for path in _PROMPT_PIECES)
    answer = ", ".join(f"'{path}'" for path in _ANSWER_PIECES)
    output = "json_extract(call_records, '$[0].output_text')"
    cells = (
        "id",
        "json_quote(session_id)",
        "json_quote(model_name)",
        "json_quote(provider)",
        "CASE json_type(metadata, '$.turn') WHEN 'integer' "
        "THEN json_extract(metadata, '$.turn') ELSE '' END",
        f"json_extract(call_records, {prompt})",
        f"json_extract({output}, {answer})",
    )
    row = " || char(31) || ".join(f"ifnull({cell}, '')" for cell in cells)
    wanted = "+event_type = 'cais' AND call_records IS NOT NULL"
    within = f"WHERE session_id > :low AND session_id <= :high AND {wanted}"
    return f"SELECT CAST(group_concat({row}, char(30)) AS BLOB) FROM events {within}"  # noqa: S608


QUICK_CALLS = _quick_calls()


def quick_messages(prompt: bytes, answer: bytes) -> bytes:
    """The messages out of raw pieces of JSON; b"" when the record has not the usual form.

    A quote inside a string of JSON has a backslash before it, so `","` always stands between two.
    """
    if not prompt.startswith(_USUAL_PROMPT) or not answer.startswith(_USUAL_ANSWER):
        return b""
    sent = prompt[len(_USUAL_PROMPT) : -2].split(b'","')
    silent = answer.endswith(_NO_CONTENT)
    end = len(_NO_CONTENT if silent else b'"]')
    said = answer[len(_USUAL_ANSWER) : -end].split(b'","')
    if len(sent) != 4 or b"" in sent or len(said) != 4 - silent or b"" in said[:3]:
        return b""
    content = b"" if silent else said[3]
    return _MESSAGES % (*sent, content, *said[:3])


def has_failed(answer: bytes) -> bool:
    """Whether the arguments of a usual answer are no JSON object."""
    return not isinstance(loads(loads(answer)[3]), dict)
