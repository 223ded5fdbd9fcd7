"""Where each key of a TOML text stands: key path → (line, column), both from 1.

tomllib keeps no positions. This scanner walks a text that tomllib has already accepted, so it may
believe the grammar: it needs no error messages, only to skip strings and to follow brackets.
"""

from __future__ import annotations

import re
import tomllib

from engine.config.mistakes import Path

Position = tuple[int, int]

_BLANK = re.compile(r"(?:[ \t\r\n,]+|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL
)
_WORD = re.compile(r"\d{4}-\d\d-\d\d [\d:][^\s,#\]}]+|[^\s=,#\[\]{}\"']+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DOT = re.compile(r"[ \t]*\.[ \t]*")


def find_positions(text: str) -> dict[Path, Position]:
    """Map every key path of a valid TOML text to the place of its last part's first character."""
    scanner = _Scanner(text)
    scanner.document()
    return {path: scanner.place(offset) for path, offset in scanner.offsets.items()}


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.offsets: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}  # tables seen so far of each array of tables
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(self, offset: int) -> Position:
        low, high = 0, len(self._starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._starts[middle] <= offset else (low, middle)
        return low + 1, offset - self._starts[low] + 1

    def document(self) -> None:
        base: Path = ()
        while self._skip_blank():
            if self.text[self.at] == "[":
                base = self._header()
            else:
                self._pair(base)

    def _skip_blank(self) -> bool:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at < len(self.text)

    def _header(self) -> Path:
        double = self.text.startswith("[[", self.at)
        self.at += 2 if double else 1
        self._skip_blank()
        keys, offsets = self._key()
        self.at = self.text.index("]", self.at) + (2 if double else 1)
        base: Path = ()
        for index, key in enumerate(keys):
            base = (*base, key)
            self.offsets.setdefault(base, offsets[index])
            last = index == len(keys) - 1
            if last and double:
                self._counts[base] = self._counts.get(base, 0) + 1
            if base in self._counts:
                base = (*base, self._counts[base] - 1)
                self.offsets.setdefault(base, offsets[index])
        return base

    def _pair(self, base: Path) -> None:
        keys, offsets = self._key()
        path = base
        for key, offset in zip(keys, offsets, strict=True):
            path = (*path, key)
            self.offsets.setdefault(path, offset)
        self.at = self.text.index("=", self.at) + 1
        self._skip_blank()
        self._value(path)

    def _key(self) -> tuple[list[str], list[int]]:
        keys, offsets = [], []
        while True:
            offsets.append(self.at)
            match = _STRING.match(self.text, self.at) or _BARE_KEY.match(self.text, self.at)
            if match is None:  # cannot be in a valid text; do not loop for ever
                raise ValueError(f"no key at offset {self.at}")
            self.at = match.end()
            keys.append(_unquote(match.group()))
            dot = _DOT.match(self.text, self.at)
            if dot is None:
                return keys, offsets
            self.at = dot.end()

    def _value(self, path: Path) -> None:
        head = self.text[self.at]
        if head == "[":
            self._list(path)
        elif head == "{":
            self._inline_table(path)
        else:
            match = _STRING.match(self.text, self.at) or _WORD.match(self.text, self.at)
            self.at = match.end() if match else self.at + 1

    def _list(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self._skip_blank() and self.text[self.at] != "]":
            self.offsets[(*path, index)] = self.at
            self._value((*path, index))
            index += 1
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while self._skip_blank() and self.text[self.at] != "}":
            self._pair(path)
        self.at += 1


def _unquote(key: str) -> str:
    """A key as tomllib gives it. Escapes are rare in keys: tomllib itself reads those."""
    if key[0] == "'":
        return key[1:-1]
    if key[0] != '"':
        return key
    if "\\" not in key:
        return key[1:-1]
    return next(iter(tomllib.loads(f"{key} = 0")))
