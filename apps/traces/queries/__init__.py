"""All reads of episodes: lists (`episodes`), payloads (`payload`), scores and comparison."""

from apps.traces.queries.compare import Comparison, compare_runs
from apps.traces.queries.episodes import (
    ORDERS,
    EpisodeDetail,
    EpisodeQuery,
    EpisodeRow,
    find_episodes,
    find_game,
    get_episode,
    list_episodes,
    list_labels,
)
from apps.traces.queries.facets import Facets, count_facets
from apps.traces.queries.firsts import first_unlock
from apps.traces.queries.forks import Branch, Fork, list_forks
from apps.traces.queries.payload import (
    episode_steps,
    find_opening,
    live_steps,
    load_payload,
    load_trace,
    load_turn,
    load_turns,
    packed_steps,
)
from apps.traces.queries.rewards import grpo_iteration, reward_bins
from apps.traces.queries.scores import run_scores, unlocks_of
from apps.traces.queries.sessions import load_session, session_of
from apps.traces.queries.tokens import loss_mask, sampled_tokens
from apps.traces.queries.transcript import load_transcript, load_turn_page

__all__ = [
    "ORDERS",
    "Branch",
    "Comparison",
    "EpisodeDetail",
    "EpisodeQuery",
    "EpisodeRow",
    "Facets",
    "Fork",
    "compare_runs",
    "count_facets",
    "episode_steps",
    "find_episodes",
    "find_game",
    "find_opening",
    "first_unlock",
    "get_episode",
    "grpo_iteration",
    "list_episodes",
    "list_forks",
    "list_labels",
    "live_steps",
    "load_payload",
    "load_session",
    "load_trace",
    "load_transcript",
    "load_turn",
    "load_turn_page",
    "load_turns",
    "loss_mask",
    "packed_steps",
    "reward_bins",
    "run_scores",
    "sampled_tokens",
    "session_of",
    "unlocks_of",
]
