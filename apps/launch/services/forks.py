"""Forks: a stored game goes on from one of its steps, under another policy.

A fork is a run like any other. Here: what its config leaves open is taken from the original.
The branches themselves: `engine/jobs/fork.py`; how they are compared: `apps/traces/queries`.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Max

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.launch.services.names import Found
from apps.runs.services import InputPlan
from apps.traces.models import Episode
from apps.traces.queries import get_episode
from engine.config import ForkConfig, Loaded, PlayConfig, load_json
from engine.errors import EngineError

_TAKEN_OVER = ("observation", "max_turns", "max_steps", "temperature", "top_p", "max_tokens")


def complete_fork(*, project: Project, loaded: Loaded) -> tuple[Loaded, Found]:
    """The config with world, limits and, where none is named, the policy of the original.

    Raises Refused(404) for a game that is not here, Refused(422) for a step that it does not have
    or after which nothing can be played.
    """
    assert isinstance(loaded.config, ForkConfig)  # noqa: S101
    config = loaded.config
    episode = get_episode(project=project, episode_id=config.trace).episode
    values: dict[str, Any] = {**_settings(episode), **loaded.data}
    values |= {"seeds": [episode.seed], "task": episode.task}
    if not config.model:
        values |= {"model": episode.model or episode.policy, "provider": episode.provider}
    complete = load_json(values, name=loaded.name or f"fork of trace {episode.pk}")
    _check_step(episode, config.step, complete)
    inputs = {
        "id": episode.pk,
        "step": config.step,
        "storage_key": episode.storage_key,
        "sha256": episode.payload_sha256,
    }
    row = InputPlan("episode", episode.pk, "original", episode.payload_sha256)
    return complete, Found(inputs, (row,))


def _settings(episode: Episode) -> dict[str, Any]:
    """How the original was played, so that a branch may go as far as it could."""
    try:
        config = load_json(episode.run.resolved).config
    except EngineError:  # a run without a config of games, such as an import
        config = None
    if isinstance(config, PlayConfig):
        play = config.play()
        flat = {**play.options, **{name: getattr(play, name, None) for name in _TAKEN_OVER[1:]}}
        return {name: flat[name] for name in _TAKEN_OVER if name in flat}
    longest = episode.run.episodes.aggregate(steps=Max("n_steps"), turns=Max("n_turns"))
    return {
        "max_steps": max(1, longest["steps"]),
        "max_turns": min(1000, max(1, longest["turns"])),
        "temperature": episode.temperature,
    }


def _check_step(episode: Episode, step: int, complete: Loaded) -> None:
    assert isinstance(complete.config, PlayConfig)  # noqa: S101
    play = complete.config.play()
    if step > episode.n_steps:
        message = f"Trace {episode.pk} has {episode.n_steps} steps; there is no step {step}."
    elif step == episode.n_steps and episode.ended in ("died", "done"):
        message = f"The game of trace {episode.pk} is over after step {step}."
    elif step >= play.max_steps:
        message = f"A game of {play.max_steps} steps leaves nothing to play after step {step}."
    else:
        return
    hint = "Fork at an earlier step, or give a larger max_steps."
    raise Refused("bad_step", message, hint, status=422, fields={"step": "too late"})
