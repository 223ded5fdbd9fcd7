"""Small invented games, stored through the real codec, storage and ingest handler."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.db import transaction
from django.utils.timezone import now

from apps.accounts.models import Project
from apps.runs import storage
from apps.runs.ingest import IngestContext
from apps.runs.models import Artifact, Attempt, Run
from apps.runs.services import ShardPlan, create_run
from apps.traces.ingest import store_episodes
from apps.traces.models import Episode
from engine.events import Event
from engine.rollout.player import play_episode
from engine.rollout.policies import ScriptedPolicy
from engine.rollout.recording import EpisodeSpec, PlayerOptions
from engine.tasks import get_task
from engine.traces.codec import encode_trace
from engine.traces.record import EpisodeSummary, Step, Trace, Turn

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "interact_many",
            "parameters": {
                "type": "object",
                "properties": {"actions": {"type": "array", "items": {"type": "string"}}},
            },
        },
    }
]
NAMES = ("collect_wood", "place_table", "collect_sapling")
_seqs = count(1)


def make_run(project: Project, kind: str = "eval", **values: Any) -> Run:
    """A run of games with one shard that an attempt holds."""
    values = {"name": "games", "task": "crafter", "model": "tiny", **values}
    run = create_run(
        project=project,
        user=None,
        kind=kind,
        config=None,
        resolved=values.pop("resolved", {}),
        inputs=values.pop("inputs", {}),
        shards=[ShardPlan(episodes=[{"seed": 1, "repeat": 0}])],
        **values,
    )
    shard = run.shards.get()
    Attempt.objects.create(shard=shard, number=1, worker="w", started_at=now())
    return run


def make_trace(
    seed: int,
    *,
    unlocks: Sequence[str] = ("collect_wood",),
    n_turns: int = 3,
    failed: Iterable[int] = (),
    ended: str = "max_turns",
    world: str = "crafter-1.8.3+d1",
    model: str = "tiny",
    repeat: int = 0,
) -> Trace:
    """A game of `n_turns` turns with two steps each; unlock i comes in turn i."""
    turns, steps, failed = [], [], set(failed)
    for index in range(n_turns):
        good = index not in failed
        new = [unlocks[index]] if index < len(unlocks) and good else []
        if good:
            for action in ("move_left", "do"):
                got = tuple(new) if action == "do" else ()
                steps.append(
                    Step(index, action, float(len(got)), bytes([seed % 256] * 80), "ab" * 8, got)
                )
        turns.append(_turn(seed, index, good, new, len(steps)))
    names = [name for turn in turns for name in turn.unlocked]
    summary = EpisodeSummary(
        task="crafter", world_version=world, seed=seed, repeat=repeat, policy_version=0,
        policy="local", model=model, provider="local", temperature=1.0,
        episode_return=float(len(names)), outcome_reward=float(len(names)),
        n_achievements=len(names), achievements=names, n_steps=len(steps), n_turns=n_turns,
        n_failed_calls=len(failed), ended=ended, ending=ended, error="", prompt_tokens=10,
        completion_tokens=5, cost_usd=0.0, started_at=1_790_000_000.0, duration_s=1.5,
        final_hash="ab" * 8, final_view="",
        turns=[_turn_row(turn) for turn in turns],
        unlocks=[{"name": s.unlocked[0], "step": i + 1, "turn": s.turn}
                 for i, s in enumerate(steps) if s.unlocked],
    )  # fmt: skip
    return Trace(summary, {"observation": "compact"}, TOOLS, b"\1" * 80, "cd" * 8, turns, steps)


def _turn(seed: int, index: int, good: bool, new: list[str], n_steps: int) -> Turn:
    arguments = json.dumps({"actions": ["move_left", "do"]})
    return Turn(
        index=index,
        messages=[
            {"role": "system", "content": "You play Crafter."},
            {"role": "user", "content": f"seed {seed} turn {index} 🌲"},
        ],
        content="",
        raw_calls=[{"id": f"call_{index}", "name": "interact_many", "arguments": arguments}]
        if good
        else [],
        actions=["move_left", "do"] if good else [],
        error_code="" if good else "no_call",
        error="" if good else "Call the tool.",
        unlocked=new,
        reward=float(len(new)),
        first_step=max(0, n_steps - 2) if good else n_steps,
        n_steps=2 if good else 0,
        prompt_tokens=10,
        completion_tokens=5,
    )


def _turn_row(turn: Turn) -> dict[str, Any]:
    fields = (
        "index", "actions", "error_code", "unlocked", "reward", "n_steps", "prompt_tokens",
        "completion_tokens", "queue_ms", "model_ms", "env_ms",
    )  # fmt: skip
    return {name: getattr(turn, name) for name in fields}


def play_problems(policy: str, seeds: Iterable[int], **options: Any) -> list[Trace]:
    """Easy sums, really played by a scripted policy: `guide` solves all, `random` hardly one."""
    task = get_task("math")
    options = {"family": "chain_sum", "difficulty": "easy", "split": "test", **options}
    player = PlayerOptions(task_options=options, max_turns=1, policy=policy)
    script = ScriptedPolicy(policy, task.scripted[policy])
    return [
        asyncio.run(
            play_episode(task, task.new_game(seed, options), EpisodeSpec(seed), script, player)
        )
        for seed in seeds
    ]


def store_games(run: Run, traces: Iterable[Trace]) -> list[Episode]:
    """Ingest traces as one batch of the run's attempt; the rows in the order of the traces."""
    shard = run.shards.get()
    context = IngestContext(run, shard, shard.attempts.get(), Path("/nonexistent"))
    events = []
    with TemporaryDirectory() as folder:
        for trace in traces:
            data = encode_trace(trace)
            sha256 = hashlib.sha256(data).hexdigest()
            path = Path(folder) / sha256
            path.write_bytes(data)
            context.keys[sha256] = storage.put_file(path, sha256=sha256, prefix="episodes")
            payload = {"path": path.name, "sha256": sha256, "size": len(data)}
            summary = json.loads(json.dumps(trace.summary.to_json()))
            event = {"summary": summary, "payload": payload}
            events.append(Event(next(_seqs), 1_790_000_000.0, "episode", event))
    with transaction.atomic():
        store_episodes(context, events)
    ids = [context.notes[event.seq]["episode_id"] for event in events]
    rows = Episode.objects.in_bulk(ids)
    return [rows[pk] for pk in ids]


def keep_tokens(run: Run, shown: object) -> None:
    """Store what a fine-tuning run keeps of its tokens (`apps/datasets/tokens.py`)."""
    data = json.dumps(shown).encode()
    digest = hashlib.sha256(data).hexdigest()
    with TemporaryDirectory() as folder:
        file = Path(folder, "tokens.json")
        file.write_bytes(data)
        key = storage.put_file(file, sha256=digest, prefix="artifacts")
    Artifact.objects.create(
        run=run, role="tokens", path=file.name, sha256=digest, size=len(data), storage_key=key
    )
