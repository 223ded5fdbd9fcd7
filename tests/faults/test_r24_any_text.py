"""R24: whatever people or models write is stored and shown as it is, or refused in words.

Each field is written by the API (the pages call the same services) and read on the page that shows
it. That nothing of it is markup: tests/security/test_s08_xss.py.
"""

from __future__ import annotations

import json
from html import unescape
from typing import Any, NamedTuple

import pytest
from django.test import Client

from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db
EVAL = {"type": "eval", "model": "random", "seeds": [1]}
TEXTS = {
    "accents": "Zoë naïve Ångström e\u0301",
    "emoji": "🌲⛏️👩‍🚀🏳️‍🌈",
    "rtl": "שלום עולם مرحبا",
    "word": "Zoë石",
    "cjk": "石を集める 收集木头",
    "override": "safe\u202etxt.exe",
    "zero width": "wo\u200bod",
    "nul": "sto\0ne",
    "control": "a\x1b[31mred\x07",
    "lines": "first\nsecond\ttab",
    "astral": "\U0010ffff\ufffe",
    "megabyte": "ab " * 350_000 + "end",
}
PLAIN = ("accents", "emoji", "rtl", "cjk")  # of these a free text refuses none


class TextField(NamedTuple):
    """Where a text is written and which page shows it; `free`: prose, of any length."""

    method: str
    path: str
    body: Any  # of the text
    page: str
    free: bool = False


FIELDS = {
    "notes": TextField("PATCH", "/runs/{run}", lambda t: {"notes": t}, "/runs/{run}/", free=True),
    "tag": TextField("PATCH", "/runs/{run}", lambda t: {"tags": [t]}, "/runs/{run}/"),
    "label": TextField("PATCH", "/traces/{trace}", lambda t: {"add": [t]}, "/traces/{trace}/"),
    "run": TextField("POST", "/runs", lambda t: {"config": {**EVAL, "name": t}}, "/runs/"),
    "config": TextField("POST", "/configs", lambda t: {"name": t, "config": EVAL}, "/configs/"),
    "dataset": TextField("POST", "/datasets", lambda t: {"name": t}, "/datasets/"),
    "view": TextField(
        "POST", "/views", lambda t: {"page": "runs", "name": t, "query": "kind=sft"}, "/runs/"
    ),
    "key": TextField("POST", "/keys", lambda t: {"name": t}, "/settings/keys/"),
    "user": TextField("POST", "/users", lambda t: {"username": t}, "/settings/users/"),
    "project": TextField("POST", "/projects", lambda t: {"name": t}, "/settings/projects/"),
    "alias": TextField(
        "POST", "/aliases", lambda t: {"requested": t, "resolved": "tiny"}, "/settings/aliases/"
    ),
}


@pytest.fixture
def program(alice, key_of) -> Client:
    return Client(headers={"X-API-Key": key_of(alice)})


@pytest.fixture
def ids(project) -> dict[str, int]:
    run = make_run(project)
    [episode] = store_games(run, [make_trace(1)])
    return {"run": run.pk, "trace": episode.pk}


@pytest.mark.parametrize("name", FIELDS)
def test_r24_a_text_is_stored_and_shown_or_refused_in_words(
    name, ids, program, alice, client_of
) -> None:
    field, browser, stored = FIELDS[name], client_of(alice), []
    for kind, text in TEXTS.items():
        answer = program.generic(
            field.method, f"/api/v1{field.path.format(**ids)}", _json(field.body(text)),
            content_type="application/json",
        )  # fmt: skip
        if answer.status_code >= 400:
            assert answer.status_code in (400, 413, 422), (kind, answer.content[:200])
            assert answer.json()["error"]["message"], kind
            assert not (field.free and kind in PLAIN), f"{kind} in {name} is refused"
            continue
        html = browser.get(field.page.format(**ids)).content.decode()
        page = unescape(html.replace("<wbr>", ""))  # where a long name may break
        assert " ".join(text.split()) in " ".join(page.split()), f"{kind} in {name} is not shown"
        stored.append(kind)
    assert stored, "this field takes no text at all"


def test_r24_what_a_model_says_is_kept_to_the_byte_and_shown(project, alice, client_of, program):
    texts = list(TEXTS.values())
    trace = make_trace(1, n_turns=len(texts))
    for turn, text in zip(trace.turns, texts, strict=True):
        turn.content = text
    [episode] = store_games(make_run(project), [trace])
    told = program.get(f"/api/v1/traces/{episode.pk}").json()["turns"]
    assert [turn["content"] for turn in told] == texts
    browser = client_of(alice)
    assert browser.get(f"/traces/{episode.pk}/").status_code == 200
    for index, text in enumerate(texts):
        page = browser.get(f"/traces/{episode.pk}/turns/{index}/").content.decode()
        assert text in unescape(page).replace("\r\n", "\n")


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()
