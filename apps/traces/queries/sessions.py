"""Episodes as sessions of tracing v3, for exports."""

from __future__ import annotations

from apps.traces.models import Episode
from apps.traces.queries.payload import load_trace
from engine.traces.record import Trace
from engine.traces.v3 import Session, build_session
from engine.traces.v3.session import session_from_json


def load_session(episode: Episode) -> Session:
    """The session of an episode. Raises StorageError when its payload is missing or damaged."""
    return session_of(episode, load_trace(episode))


def session_of(episode: Episode, trace: Trace) -> Session:
    """The very rows that an imported episode came from; those built of a game of our own."""
    if trace.origin is not None:
        return session_from_json(trace.origin)
    metadata = {"run_id": str(episode.run_id), "episode_id": episode.pk}
    return build_session(trace, session_id=session_id_of(episode), metadata=metadata)


def session_id_of(episode: Episode) -> str:
    """`RUN-SEED-REPEAT`, with the policy's version where RL counts it."""
    name = f"{episode.run_id}-{episode.seed}-{episode.repeat}"
    return f"{name}-v{episode.policy_version}" if episode.policy_version else name
