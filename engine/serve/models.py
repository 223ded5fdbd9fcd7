"""Which models this process holds: one set of weights for each base, with its adapters beside it.

Models that share a base decode together in its thread, each request with its own adapter; adapters
are never merged. The base that was used longest ago goes first when there are too many.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from itertools import count
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from engine.errors import EngineError, TrainingError
from engine.serve.worker import Worker
from engine.train.adapters import is_adapter, weights_folder
from engine.train.model import load_tokenizer, load_weights

MAX_BASES = 4
MAX_ADAPTERS = 32  # of one base


class UnknownModel(EngineError):
    """A model that is not loaded here; the message lists what is."""

    code = "model_not_found"


class Base:
    """Weights in memory, the thread that decodes with them, and the names of their adapters."""

    def __init__(self, folder: Path) -> None:
        model = load_weights(folder, frozen=True)
        self.folder, self.users = folder, set[str]()
        self.context = int(getattr(model.config, "max_position_embeddings", 4096))
        self.generation = model.generation_config
        self.worker = Worker(model, folder.name)
        self._names = count(1)

    @property
    def is_busy(self) -> bool:
        return self.worker.n_active > 0 or self.worker.n_waiting > 0

    def add_adapter(self, folder: Path) -> str:
        """Read an adapter between two decoding steps; returns the name that rows give it."""
        name = f"a{next(self._names)}"
        try:
            self.worker.call(lambda batch: batch.add_adapter(name, folder))
        except (OSError, ValueError, KeyError, RuntimeError) as err:
            raise TrainingError(f"{folder.name}: no usable adapter: {err}") from err
        return name

    def drop_adapter(self, name: str) -> None:
        self.worker.call(lambda batch: batch.drop_adapter(name))


class LoadedModel:
    """A model that calls can name: a base, or a base with one of its adapters."""

    def __init__(self, model_id: str, path: Path, base: Base) -> None:
        self.model_id, self.path, self.base = model_id, path, base
        self.loaded_at = int(time.time())
        self.tokenizer = load_tokenizer(path)
        self.stop_ids = _stop_ids(base.generation, self.tokenizer)
        self.adapter = base.add_adapter(path) if is_adapter(path) else ""
        base.users.add(model_id)

    @property
    def worker(self) -> Worker:
        return self.base.worker

    @property
    def context(self) -> int:
        return self.base.context


class Models:
    """The loaded models by id. Used from one event loop only."""

    def __init__(self, limit: int = MAX_BASES) -> None:
        self._limit = limit
        self._loaded: dict[str, LoadedModel] = {}
        self._bases: OrderedDict[Path, Base] = OrderedDict()  # the most recently used last
        self._lock = asyncio.Lock()

    def ids(self) -> list[str]:
        return sorted(self._loaded)

    def list(self) -> list[LoadedModel]:
        return [self._loaded[name] for name in self.ids()]

    def get(self, model_id: str) -> LoadedModel:
        """The model, its base marked as used now. Raises UnknownModel."""
        model = self._loaded.get(model_id)
        if model is None:
            loaded = ", ".join(self.ids()) or "none"
            raise UnknownModel(f"model {model_id!r} is not loaded; loaded: {loaded}")
        self._bases.move_to_end(model.base.folder)
        return model

    async def load(self, model_id: str, path: Path) -> LoadedModel:
        """Load a checkpoint's folder; loading the same again changes nothing.

        When the process is full, the idle base that was used longest ago goes with its adapters;
        when all are busy the limit is exceeded rather than a request broken. Raises TrainingError.
        """
        async with self._lock:
            known = self._loaded.get(model_id)
            if known is not None and known.path == path:
                return known
            if known is not None:
                await self._close(model_id)
            base = await self._base(path)
            try:
                model = await asyncio.to_thread(LoadedModel, model_id, path, base)
            except EngineError:
                await self._close_unused(base)
                raise
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

    async def _base(self, path: Path) -> Base:
        """The weights of a folder, in memory already or loaded now, with room for one more."""
        folder = weights_folder(path)
        known = self._bases.get(folder)
        if known is None:
            known = await asyncio.to_thread(Base, folder)
            idle = [base for base in self._bases.values() if not base.is_busy]
            for base in idle[: max(len(self._bases) + 1 - self._limit, 0)]:
                for model_id in sorted(base.users):
                    await self._close(model_id)
            self._bases[folder] = known
        adapters = [m.model_id for m in self._loaded.values() if m.base is known and m.adapter]
        if is_adapter(path) and len(adapters) >= MAX_ADAPTERS and not known.is_busy:
            await self._close(adapters[0])
        return known

    async def _close(self, model_id: str) -> None:
        model = self._loaded.pop(model_id)
        model.base.users.discard(model_id)
        if model.adapter and model.base.users:
            await asyncio.to_thread(model.base.drop_adapter, model.adapter)
        await self._close_unused(model.base)

    async def _close_unused(self, base: Base) -> None:
        if not base.users:
            self._bases.pop(base.folder, None)
            await asyncio.to_thread(base.worker.close)


def _stop_ids(generation: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    configured = getattr(generation, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(i for i in [*ids, tokenizer.eos_token_id] if i is not None)
