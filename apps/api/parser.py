"""Reads bodies as JSON, configs also as TOML, nothing more: what no database and no answer could
hold is refused here, once for all endpoints. Shapes are checked by the endpoints' schemas.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn, cast

from django.http import HttpRequest
from ninja.parser import Parser


class StrictParser(Parser):
    """JSON as RFC 8259 has it: Python's own reader also takes NaN and half surrogate pairs."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        """The body; ValueError (a 400) for NaN, infinities and text that is no UTF-8.

        A config may come as it stands in its file, as application/toml: the same as {"toml": …}.
        """
        if request.content_type == "application/toml":
            return {"toml": request.body.decode()}
        found = json.loads(request.body, parse_constant=_refuse)
        if b"\\u" in request.body:
            json.dumps(found, ensure_ascii=False).encode()
        return cast(dict[str, Any], found)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")
