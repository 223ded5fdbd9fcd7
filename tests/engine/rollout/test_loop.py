"""Many episodes at once: nobody waits for the slowest, nobody is lost, all stop when asked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from engine.errors import ConfigError, TaskError
from engine.events import ViewData
from engine.lease import Cancellation
from engine.llm.types import ChatRequest, Reply, ToolCall
from engine.rollout import views as views_module
from engine.rollout.loop import Table, play_all, run_beside
from engine.rollout.policies import ScriptedPolicy
from engine.rollout.recording import EpisodeSpec, PlayerOptions
from engine.rollout.views import LiveViews
from engine.tasks import get_task
from engine.traces.record import EpisodeKey, Step, Trace, Turn

TASK = get_task("crafter")
RANDOM = ScriptedPolicy("random", TASK.scripted["random"])


class Slow:
    """Sleeps for each call as long as its seed says, then plays noop."""

    name = "slow"

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds = seconds
        self.in_flight = self.peak = 0

    async def reply(self, request: ChatRequest) -> Reply:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        await asyncio.sleep(self.seconds.get(request.turn_key[0], 0.0))
        self.in_flight -= 1
        call = ToolCall("c", "interact_many", json.dumps({"actions": ["noop"]}))
        return Reply("", (call,), "stop", "m")

    async def close(self) -> None: ...


def play(
    policy: Any, seeds: Sequence[int], *, concurrency: int = 4, task: Any = TASK, **options: Any
) -> list[Trace]:
    traces: list[Trace] = []

    async def keep(trace: Trace) -> None:
        traces.append(trace)

    table = Table(task, policy, PlayerOptions(**options))
    specs = [EpisodeSpec(seed) for seed in seeds]
    asyncio.run(play_all(table, specs, keep, concurrency=concurrency))
    return traces


@pytest.mark.parametrize(("n", "concurrency"), [(0, 4), (1, 8), (9, 1), (9, 4), (3, 50)])
def test_every_episode_is_played_once(n: int, concurrency: int):
    traces = play(RANDOM, range(n), concurrency=concurrency, max_turns=2)
    assert sorted(trace.summary.seed for trace in traces) == list(range(n))


def test_playing_together_changes_no_game():
    together = {t.summary.seed: t.summary.final_hash for t in play(RANDOM, range(6))}
    alone = {t.summary.seed: t.summary.final_hash for t in play(RANDOM, range(6), concurrency=1)}
    assert together == alone


def test_nobody_waits_for_the_slowest():
    policy = Slow({0: 1.0})
    started = time.monotonic()
    traces = play(policy, range(12), concurrency=3, max_turns=1)
    assert [trace.summary.seed for trace in traces][-1] == 0
    assert time.monotonic() - started < 3
    assert policy.peak <= 3


def test_a_world_that_breaks_is_one_broken_episode():
    class Torn:
        def __getattr__(self, name: str) -> Any:
            return getattr(TASK, name)

        def new_game(self, seed: int, options: Any) -> Any:
            if seed == 2:
                raise TaskError("the world is torn")
            return TASK.new_game(seed, options)

    traces = play(RANDOM, range(5), task=Torn(), max_turns=1)
    endings = {trace.summary.seed: trace.summary.ended for trace in traces}
    assert endings.pop(2) == "task_error"
    assert set(endings.values()) == {"max_turns"}


def test_wrong_options_stop_the_run_with_their_reason():
    with pytest.raises(ConfigError, match="no option 'colour'"):
        play(RANDOM, range(5), task_options={"colour": "red"})


def test_an_error_while_storing_stops_the_run():
    async def fail(trace: Trace) -> None:
        raise OSError("disk full")

    table = Table(TASK, Slow({1: 30.0, 2: 30.0}), PlayerOptions(max_turns=1))
    specs = [EpisodeSpec(seed) for seed in range(6)]
    with pytest.raises(OSError, match="disk full"):
        asyncio.run(asyncio.wait_for(play_all(table, specs, fail, concurrency=3), 20))


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_a_cancelled_run_stops_at_once_and_keeps_what_was_played(concurrency: int):
    cancelled = Cancellation()
    kept: list[Trace] = []

    async def keep(trace: Trace) -> None:
        kept.append(trace)
        if len(kept) == 3:
            cancelled.set()

    table = Table(TASK, Slow(dict.fromkeys(range(3, 50), 30.0)), PlayerOptions(max_turns=1))
    specs = [EpisodeSpec(seed) for seed in range(50)]
    started = time.monotonic()
    asyncio.run(play_all(table, specs, keep, concurrency=concurrency, cancelled=cancelled))
    assert time.monotonic() - started < 10
    assert sorted(trace.summary.seed for trace in kept) == [0, 1, 2]


def test_a_run_cancelled_before_it_starts_plays_nothing():
    cancelled = Cancellation()
    cancelled.set()
    kept: list[Trace] = []

    async def keep(trace: Trace) -> None:
        kept.append(trace)

    specs = [EpisodeSpec(seed) for seed in range(50)]
    table = Table(TASK, Slow(dict.fromkeys(range(50), 30.0)), PlayerOptions())
    asyncio.run(
        asyncio.wait_for(play_all(table, specs, keep, concurrency=4, cancelled=cancelled), 20)
    )
    assert kept == []


def test_live_views_are_few_and_in_order(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(views_module, "INTERVAL_S", 0.05)
    sent: list[ViewData] = []
    live = LiveViews(sent.append, "m")

    async def run() -> None:
        async def keep(trace: Trace) -> None:
            live.end(trace.key)

        table = Table(TASK, Slow({1: 0.03, 2: 0.04}), PlayerOptions(max_turns=15), live)
        async with run_beside(live.run):
            await play_all(table, [EpisodeSpec(1), EpisodeSpec(2)], keep, concurrency=2)

    asyncio.run(run())
    mine = [row for row in sent if row["seed"] == 1]
    assert len(mine) >= 2
    position = 0
    for row in mine:
        assert row["first_step"] == position
        assert len(row["views"]) == len(row["rewards"])
        position += len(row["views"])
    assert mine[-1]["call"] == "noop"
    assert mine[-1]["key"][:3] == ["crafter", TASK.world_version, 1]


def test_a_call_that_cannot_be_used_is_told_though_it_makes_no_picture():
    sent: list[ViewData] = []
    live, key = LiveViews(sent.append, "m"), EpisodeKey("crafter", TASK.world_version, 1, 0, 0)
    live.begin(key, b"0", [])
    live.turn(key, Turn(0, [], "", [], ["noop"]), [Step(0, "noop", 0.0, b"1", "", [])])
    live.turn(key, Turn(1, [], "", [], [], error_code="no_call"), [])
    live.flush()
    live.turn(key, Turn(2, [], "", [], [], error_code="bad_json"), [])
    live.flush()
    live.flush()
    assert [(row["first_step"], len(row["views"])) for row in sent] == [(0, 2), (2, 0)]
    assert sent[0]["turns"] == [[0, "noop", 1, 1], [1, "(no_call)", 2, 0]]
    assert (sent[1]["turns"], sent[1]["n_turns"]) == ([[2, "(bad_json)", 2, 0]], 3)
