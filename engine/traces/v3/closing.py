"""What reader and writer of a file share: `with` closes it at the end.

Lives here: that alone. Not here: what closing means (`reader.py`, `writer.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """Something to be closed after use: `with TraceFile(path) as file: …`."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
