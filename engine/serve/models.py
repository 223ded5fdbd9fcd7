"""Which models this process holds: loading, the least recently used goes first, unloading."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from engine.errors import EngineError
from engine.serve.worker import Worker
from engine.train.model import load_model

MAX_MODELS = 4


class UnknownModel(EngineError):
    """A model that is not loaded here; the message lists what is."""

    code = "model_not_found"


class LoadedModel:
    """A model with its tokenizer and the thread that decodes for it."""

    def __init__(self, model_id: str, path: Path) -> None:
        model, self.tokenizer = load_model(path)
        self.model_id, self.path, self.loaded_at = model_id, path, int(time.time())
        self.context = int(getattr(model.config, "max_position_embeddings", 4096))
        self.stop_ids = _stop_ids(model.generation_config, self.tokenizer)
        self.worker = Worker(model, model_id)

    @property
    def is_busy(self) -> bool:
        return self.worker.n_active > 0 or self.worker.n_waiting > 0


class Models:
    """The loaded models by id, the most recently used last. Used from one event loop only."""

    def __init__(self, limit: int = MAX_MODELS) -> None:
        self._limit = limit
        self._loaded: OrderedDict[str, LoadedModel] = OrderedDict()
        self._lock = asyncio.Lock()

    def ids(self) -> list[str]:
        return sorted(self._loaded)

    def list(self) -> list[LoadedModel]:
        return [self._loaded[name] for name in self.ids()]

    def get(self, model_id: str) -> LoadedModel:
        """The model, marked as used now. Raises UnknownModel."""
        model = self._loaded.get(model_id)
        if model is None:
            loaded = ", ".join(self.ids()) or "none"
            raise UnknownModel(f"model {model_id!r} is not loaded; loaded: {loaded}")
        self._loaded.move_to_end(model_id)
        return model

    async def load(self, model_id: str, path: Path) -> LoadedModel:
        """Load a checkpoint folder; loading the same again changes nothing.

        When the process is full, the idle model that was used longest ago goes; when all are busy
        the limit is exceeded rather than a request broken. Raises TrainingError: no checkpoint.
        """
        async with self._lock:
            known = self._loaded.get(model_id)
            if known is not None and known.path == path:
                return known
            model = await asyncio.to_thread(LoadedModel, model_id, path)
            if known is not None:
                await self._close(model_id)
            idle = [name for name, held in self._loaded.items() if not held.is_busy]
            for name in idle[: max(len(self._loaded) + 1 - self._limit, 0)]:
                await self._close(name)
            self._loaded[model_id] = model
            return model

    async def unload(self, model_id: str) -> None:
        """Drop a model; its open requests get an error. Raises UnknownModel."""
        async with self._lock:
            self.get(model_id)
            await self._close(model_id)

    async def close(self) -> None:
        async with self._lock:
            for model_id in self.ids():
                await self._close(model_id)

    async def _close(self, model_id: str) -> None:
        await asyncio.to_thread(self._loaded.pop(model_id).worker.close)


def _stop_ids(generation: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    configured = getattr(generation, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(i for i in [*ids, tokenizer.eos_token_id] if i is not None)
