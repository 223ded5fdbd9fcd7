"""Markdown of model cards → HTML that can hold no markup but ours: every piece is escaped.

Lives here: headings, paragraphs, lists, tables, code, bold, front matter; what cards are made of.
Left out on purpose: raw HTML, links and images. A card may come from a stranger, and what is no
link is not followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

MAX_CHARS = 200_000
_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_ITEM = re.compile(r"[-*+]\s+(.*)")
_RULE = re.compile(r"\|?[\s:|-]+\|[\s:|-]*")
_CODE = re.compile(r"`([^`]+)`")
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
_FIRST_LEVEL = 2  # the page has its own h1 and a card's title is one of its sections


def render_markdown(text: str) -> SafeString:
    """The text as HTML; a text that is too long for a card is shown as it stands."""
    if len(text) > MAX_CHARS:
        return _pre(text)
    return format_html_join("\n", "{}", ((block,) for block in _blocks(text.splitlines())))


def _wrap(tag: str, content: str) -> SafeString:
    """`content` in a tag of ours; escaped unless it was made here."""
    return format_html("<{0}>{1}</{0}>", tag, content)


def _pre(text: str) -> SafeString:
    """Text as it stands; a long one scrolls, which the keyboard can reach."""
    return format_html('<pre tabindex="0">{}</pre>', text)


def _blocks(lines: list[str]) -> Iterator[SafeString]:
    """One piece of HTML a block; each takes its lines."""
    rest = lines[::-1]  # the next line is the last one, cheap to take off
    if rest and rest[-1].strip() == "---" and "---" in [line.strip() for line in lines[1:40]]:
        rest.pop()
        yield _pre("\n".join(_take_until(rest, "---")))
    while rest:
        line = rest.pop().strip()
        heading = _HEADING.fullmatch(line)
        if not line:
            continue
        if line.startswith("```"):
            yield _pre("\n".join(_take_until(rest, "```")))
        elif heading:
            yield _wrap(f"h{min(6, len(heading[1]) + _FIRST_LEVEL)}", _inline(heading[2]))
        elif "|" in line and rest and _RULE.fullmatch(rest[-1].strip()):
            yield _table(line, rest)
        elif _ITEM.fullmatch(line):
            yield _list(line, rest)
        else:
            yield _wrap("p", _inline(" ".join([line, *_paragraph(rest)])))


def _take_until(rest: list[str], end: str) -> Iterator[str]:
    """The lines before `end`, which is taken too; all of them when it never comes."""
    while rest:
        line = rest.pop()
        if line.strip() == end:
            return
        yield line


def _paragraph(rest: list[str]) -> Iterator[str]:
    while rest:
        line = rest[-1].strip()
        if not line or line.startswith("```") or _HEADING.fullmatch(line) or _ITEM.fullmatch(line):
            return
        yield rest.pop().strip()


def _list(first: str, rest: list[str]) -> SafeString:
    items = [first]
    while rest and _ITEM.fullmatch(rest[-1].strip()):
        items.append(rest.pop().strip())
    return _wrap("ul", _join(_wrap("li", _inline(item[1:].strip())) for item in items))


def _table(head: str, rest: list[str]) -> SafeString:
    rest.pop()  # the rule below the head
    rows = []
    while rest and "|" in rest[-1]:
        rows.append(_row(rest.pop(), "td"))
    body = _join((_wrap("thead", _row(head, "th")), _wrap("tbody", _join(rows))))
    return format_html('<div class="scroll">{}</div>', _wrap("table", body))


def _row(line: str, tag: str) -> SafeString:
    cells = line.strip().strip("|").split("|")
    return _wrap("tr", _join(_wrap(tag, _inline(cell.strip())) for cell in cells))


def _inline(text: str) -> SafeString:
    """Code and bold within a line; what stands in code stays as it is."""
    pieces = _CODE.split(text)  # every second one is code
    return _join(_wrap("code", p) if i % 2 else _bold(p) for i, p in enumerate(pieces))


def _bold(text: str) -> SafeString:
    pieces = _BOLD.split(text)
    return _join(_wrap("strong", p) if i % 2 else p for i, p in enumerate(pieces))


def _join(parts: Iterable[str]) -> SafeString:
    return format_html_join("", "{}", ((part,) for part in parts))
