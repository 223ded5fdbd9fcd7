"""vLLM's two routes for adapters, which lose answers on command: what was asked for is done.

    with AdapterServer("500", "ok") as server:     # the next two answers; later ones are ok

Words: ok, 500, close (no answer), hang (until the server stops).
"""

from __future__ import annotations

import asyncio
import json
from collections import deque

from tests.servers.raw_http import RawServer, send


class AdapterServer(RawServer):
    """`adapters`: the names that are loaded; `heard`: every route and name in its order."""

    def __init__(self, *script: str) -> None:
        super().__init__()
        self.script = deque(script)
        self.adapters: set[str] = set()
        self.heard: list[tuple[str, str]] = []

    async def reply(
        self, path: str, headers: dict[str, str], raw: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        name = str(json.loads(raw)["lora_name"])
        self.heard.append((path, name))
        status, words = self._do(path, name)
        word = self.script.popleft() if self.script else "ok"
        if word == "hang":
            await asyncio.sleep(3600)
        if word == "close":
            return False
        if word == "500":
            status, words = 500, "out of order"
        return await send(writer, status, words.encode())

    def _do(self, path: str, name: str) -> tuple[int, str]:
        """Status and words as vLLM 0.16 gives them."""
        if path == "/v1/load_lora_adapter":
            if name == "too-large":
                return 400, "LoRA rank 64 is greater than max_lora_rank"
            if name in self.adapters:
                return 400, f"The lora adapter '{name}' has already been loaded."
            self.adapters.add(name)
        elif name not in self.adapters:
            return 404, f"The lora adapter '{name}' cannot be found."
        else:
            self.adapters.remove(name)
        return 200, "Success"
