"""The quick way through a file gives the records of the long way, whatever stands in the calls."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.traces.v3 import TraceDb
from engine.traces.v3.choosing import SftFilter
from engine.traces.v3.sft import curate, session_records
from engine.traces.v3.sft_file import file_records
from tests.v3_files import make_session

Draw = Callable[[st.SearchStrategy[Any]], Any]
NASTY = ['","', 'ends in ",', '"', "\\", '\\"', "\x1f\x1e\x00", "🌲é\u2028", "\ud83c", "[null"]
texts = st.one_of(st.just("look around"), st.sampled_from(NASTY), st.text(max_size=12))
floats = st.floats(allow_nan=False, allow_infinity=False)
anything = st.one_of(
    st.none(), st.booleans(), st.integers(), floats, texts, st.just(""),
    st.lists(texts, max_size=3), st.dictionaries(texts, texts, max_size=3),
    st.just([{"type": "text", "text": "hi"}]), st.just([{"type": "text", "text": "a"}] * 2),
    st.just([{"type": "image", "uri": "data:image/png;base64,AA=="}]),
    st.just([{"type": "image_url", "image_url": {"url": "https://pictures.example/1.png"}}]),
)  # fmt: skip


@st.composite
def events(draw: Draw) -> dict[str, Any]:
    """The cells of a model call of the usual form, often with something odd at one place."""
    first = {"role": "system", "parts": [{"type": "text", "text": draw(texts), "uri": None}]}
    second = {"role": "user", "parts": [{"type": "text", "text": draw(texts)}]}
    arguments = draw(st.sampled_from(['{"actions": ["do"]}', "[]", "no JSON"]))
    call = {"id": "call_0", "function": {"name": "interact", "arguments": arguments}}
    message = {"content": draw(st.one_of(st.none(), texts)), "tool_calls": [call]}
    choice = {"message": message}
    record = {"input_messages": [first, second], "output_tool_calls": [{"name": draw(texts)}]}
    cells = {"call_records": [record], "metadata": {"turn": draw(st.integers(0, 4))}}
    odd = draw(st.sampled_from([
        {}, *[{}] * 9, cells, record, record["input_messages"], first, second, first["parts"],
        second["parts"], first["parts"][0], second["parts"][0], message, message["tool_calls"],
        call, call["function"], cells["metadata"], choice,
    ]))  # fmt: skip
    if isinstance(odd, list):
        odd += draw(st.lists(st.one_of(anything, st.sampled_from(odd)), min_size=1, max_size=2))
    elif odd:
        name = draw(st.sampled_from([*odd, "name", "call_id", "arguments", "step_id"]))
        odd[name] = draw(anything)
    if "output_text" not in record:
        record["output_text"] = json.dumps({"choices": [choice]})
    model = draw(st.sampled_from(["a model", "a model", 'a "model" ⚑', "", None]))
    return {**cells, "model_name": model, "provider": draw(st.sampled_from(["custom", "", None]))}


WISHES = [
    SftFilter(),
    SftFilter(models=frozenset(["a model"])),
    SftFilter(providers=frozenset(["unknown", "custom"]), min_unique=1),
    SftFilter(drop_failed_calls=True, max_per_achievement=2),
    SftFilter(turns_before_unlock=1, event_rewards=(("sparse", 1.0),)),
]


def dump(value: Any, escaped: bool) -> str:
    """JSON in either spelling; half of a surrogate pair can only be stored escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    storable = text.encode(errors="ignore") == text.encode(errors="surrogatepass")
    return text if storable and not escaped else json.dumps(value)


@settings(max_examples=100, deadline=None)
@given(
    said=st.lists(events(), min_size=1, max_size=4),
    wanted=st.sampled_from(WISHES),
    escaped=st.booleans(),
)
def test_the_quick_way_gives_the_records_of_the_long_way(
    said: list[dict[str, Any]], wanted: SftFilter, escaped: bool
) -> None:
    session = make_session(4, len(said))
    rows = [row for row in session.rows("events") if row["event_type"] == "cais"]
    for row, cells in zip(rows, said, strict=True):
        texts = {name: dump(cells[name], escaped) for name in ("call_records", "metadata")}
        row.update({**cells, **texts})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.db"
        with TraceDb(path) as db:
            db.write(session)
        quick = list(file_records(path, wanted))
    slow = list(curate(session_records(session, wanted), wanted))
    assert [json.loads(one.line) for one in quick] == [json.loads(one.line) for one in slow]
    assert [json.loads(one.messages) for one in quick] == [json.loads(o.messages) for o in slow]
    assert [one.achievement for one in quick] == [one.achievement for one in slow]
