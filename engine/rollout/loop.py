"""Plays all episodes of a shard in one event loop: model calls together, game steps between them.

Lives here: how many play at once, where worlds come from, how they all stop. Not here: one episode
(`player.py`), what is done with a finished one (the job that calls this).

Nothing waits for the slowest: whoever ends makes room for the next. A new world costs up to 100 ms,
so worlds are made in a thread, a few ahead of the players.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from engine.errors import TaskError
from engine.lease import Cancellation
from engine.llm.types import Policy
from engine.rollout.opening import Opening
from engine.rollout.player import Watcher, play_episode
from engine.rollout.recording import EpisodeSpec, PlayerOptions, broken_trace
from engine.rollout.remote import RemotePlayer
from engine.tasks.base import DecisionRewards, Game, Task
from engine.traces.record import Trace

WORLDS_AHEAD = 2


@dataclass(frozen=True)
class Table:
    """What all episodes of a shard share. `rewards()` makes one rewarder an episode.

    policy: who answers here, or who plays whole episodes elsewhere.
    opening: where all of them begin, when they are branches of one episode.
    """

    task: Task
    policy: Policy | RemotePlayer
    options: PlayerOptions
    watcher: Watcher | None = None
    rewards: Callable[[], DecisionRewards] | None = None
    opening: Opening | None = None


async def play_all(
    table: Table,
    specs: Sequence[EpisodeSpec],
    on_trace: Callable[[Trace], Awaitable[None]],
    *,
    concurrency: int,
    cancelled: Cancellation | None = None,
) -> None:
    """Play every episode, at most `concurrency` at once; `on_trace` is awaited with each one.

    When `cancelled` is set, running episodes end as `cancelled` (those with at least one turn are
    handed on) and no new one starts; it returns within the time of one step. An error of
    `on_trace` or of the task's options stops all and is raised; a broken episode stops nothing.
    """
    shard = _Shard(table, specs, on_trace, asyncio.get_running_loop())
    if cancelled is not None:
        cancelled.on_cancel(shard.stop_from_any_thread)
    try:
        async with asyncio.TaskGroup() as group:
            shard.feeder = group.create_task(shard.guard(shard.feed))
            for _ in range(max(1, min(concurrency, len(specs)))):
                group.create_task(shard.guard(shard.work))
    except* Exception as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    finally:
        shard.makers.shutdown(wait=False, cancel_futures=True)


class _Shard:
    """The running state of `play_all`."""

    def __init__(
        self,
        table: Table,
        specs: Sequence[EpisodeSpec],
        on_trace: Callable[[Trace], Awaitable[None]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.table, self.on_trace, self.loop = table, on_trace, loop
        self.specs: Iterator[EpisodeSpec] = iter(specs)
        self.worlds: asyncio.Queue[tuple[EpisodeSpec, Game | TaskError] | None] = asyncio.Queue(
            WORLDS_AHEAD
        )
        self.makers = ThreadPoolExecutor(1, thread_name_prefix="worlds")
        self.playing: set[asyncio.Task[Trace]] = set()
        self.feeder: asyncio.Task[None] | None = None
        self.stopping = False

    def stop_from_any_thread(self) -> None:
        """Called by the lease or a signal; the loop may be over already."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.stop)

    def stop(self) -> None:
        """End running episodes and let the players go home."""
        self.stopping = True
        if self.feeder:
            self.feeder.cancel()
        for task in self.playing:
            task.cancel()
        self._send_home()

    async def guard(self, work: Callable[[], Awaitable[None]]) -> None:
        """Stop everybody when one of them breaks: an episode swallows a plain cancellation."""
        try:
            await work()
        except Exception:
            self.stop()
            raise

    async def feed(self) -> None:
        """Make the worlds, in order, a few ahead of the players."""
        for spec in self.specs:
            world = await self.loop.run_in_executor(self.makers, self._make, spec)
            await self.worlds.put((spec, world))
        await self.worlds.put(None)

    def _make(self, spec: EpisodeSpec) -> Game | TaskError:
        table = self.table
        try:
            if table.opening is not None:
                return table.opening.start(table.task, table.options.task_options)
            return table.task.new_game(spec.seed, table.options.task_options)
        except TaskError as err:
            return err

    async def work(self) -> None:
        """Play one episode after the other until there are no more."""
        while not self.stopping:
            item = await self.worlds.get()
            if item is None:
                self._send_home()
                return
            spec, world = item
            if self.stopping:
                return
            trace = await self._play(spec, world)
            if trace.summary.ended != "cancelled" or trace.turns:
                await self.on_trace(trace)

    async def _play(self, spec: EpisodeSpec, world: Game | TaskError) -> Trace:
        table = self.table
        if isinstance(world, TaskError):
            return broken_trace(table.task, spec, table.options, world)
        task: asyncio.Task[Trace] = asyncio.create_task(self._episode(spec, world))
        self.playing.add(task)
        try:
            return await task
        finally:
            self.playing.discard(task)

    def _episode(self, spec: EpisodeSpec, world: Game) -> Coroutine[None, None, Trace]:
        """The playing of one episode: here, or by a remote task app."""
        table = self.table
        if isinstance(table.policy, RemotePlayer):
            return table.policy.play(world, spec)
        return play_episode(
            table.task,
            world,
            spec,
            table.policy,
            table.options,
            watcher=table.watcher,
            rewards=table.rewards() if table.rewards else None,
            opening=table.opening,
        )

    def _send_home(self) -> None:
        """Wake every player that waits for a world: there is none any more."""
        with contextlib.suppress(asyncio.QueueFull):
            while True:
                self.worlds.put_nowait(None)


@contextlib.asynccontextmanager
async def run_beside(*watchers: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run these for ever beside the block; they are cancelled when it ends."""
    tasks = [asyncio.ensure_future(watcher()) for watcher in watchers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
