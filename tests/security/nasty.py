"""What S12 sends and to where: nasty values, every operation of the OpenAPI, and how an answer is
judged. The walks themselves are `test_s12_injection.py` and `tests/synth/test_any_body.py`.
"""

from __future__ import annotations

import base64
import json
import os
import traceback
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.test import Client
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from apps.api.api import api
from tests.estate import Estate

SCHEMA: dict[str, Any] = api.get_openapi_schema()
ANSWERS = {200, 201, 202, 204, 302, 400, 401, 403, 404, 405, 409, 413, 415, 422}


def cursor(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


NASTY = (
    "", "0", "-1", "1e9", "1.5", "nan", "inf", "-inf", "true", "null", "9" * 18, "9" * 19, "9" * 40,
    "-" + "9" * 40, "9" * 5000, "\0", "a\0b", "'", '"', "' OR 1=1 --", "1; DROP TABLE runs_run",
    "%", "_", "\\", "?", "id", "-run__project__slug", "run__project__name", "pk__in", "__class__",
    "é🌲\u202e", "\ufffe", "x" * 5000, "[]", "{}", "[[[[", "../../etc/passwd", "1,2,", ",", "1,x",
    "٣", "1_000", " 1 ", "+1", cursor(), cursor(1), cursor("x"), cursor(-1), cursor(2**70),
    cursor(None), cursor(1.5, 1), cursor([1]), cursor({}), cursor("\0", 1), cursor(1, 2, 3),
    cursor(float("nan"), 1), cursor(True), cursor("a" * 900), "====", "e30", "W10", "bnVsbA",
)  # fmt: skip
RAW = ("%ff", "%00", "%", "%zz", "%ed%a0%80", "a&b=c", "[]", "%2e%2e%2f")


class Operation(NamedTuple):
    method: str
    path: str
    query: tuple[str, ...]
    in_path: tuple[str, ...]
    body: dict[str, Any]  # its JSON Schema; {} for none

    def at(self, estate: Estate, **changed: Any) -> str:
        known = {name: changed.get(name, getattr(estate, name)) for name in self.in_path}
        return self.path.format(**known)


def operations() -> list[Operation]:
    """Every operation that the OpenAPI lists."""
    found = []
    for path, item in SCHEMA["paths"].items():
        for method, told in item.items():
            names = {place: tuple(p["name"] for p in told.get("parameters", ()) if p["in"] == place)
                     for place in ("query", "path")}  # fmt: skip
            content = told.get("requestBody", {}).get("content", {})
            body = content.get("application/json", {}).get("schema", {})
            if reference := body.get("$ref"):
                body = SCHEMA["components"]["schemas"][reference.rpartition("/")[2]]
            found.append(Operation(method.upper(), path, names["query"], names["path"], body))
    return found


OPERATIONS = operations()
READS = [operation for operation in OPERATIONS if operation.method == "GET"]
WRITES = [operation for operation in OPERATIONS if operation.body]

values = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.lists(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
             max_size=3).map(lambda parts: cursor(*parts)),
)  # fmt: skip
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False),
    st.sampled_from(NASTY), st.text(st.characters(codec="utf-8"), max_size=20),
)  # fmt: skip
shapes = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
LIGHT = settings(max_examples=150, deadline=None, derandomize=True,
                 suppress_health_check=list(HealthCheck))  # fmt: skip
# New mixtures are for `make soak`: everyday tests must say the same of the same code.
HEAVY = settings(LIGHT, max_examples=4000, derandomize="SYNTHWEB_SOAK" not in os.environ)


def ask(client: Client, method: str, where: str, body: Any = None) -> str:
    """One request; what is wrong with the answer, in words, or nothing."""
    data = json.dumps(body) if body is not None else ""
    try:
        answer = client.generic(method, where, data, content_type="application/json")
        if answer.streaming:
            b"".join(answer)
    except Exception as err:  # what no handler answers would be a 500
        place = traceback.extract_tb(err.__traceback__)[-1]
        return f"{method} {where[:200]} {data[:200]}: {err!r} at {place.filename}:{place.lineno}"
    return "" if answer.status_code in ANSWERS else f"{method} {where[:200]}: {answer.status_code}"


def check(answers: Iterable[str]) -> None:
    """Fail with what was wrong, the first of each kind."""
    found = {answer.rpartition(" at ")[2]: answer for answer in answers if answer}
    assert not found, "\n".join(found.values())
