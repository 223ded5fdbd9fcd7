"""What bench/pages.py measures: every page as people open it, and the lists behind the API.

tests/web/test_measured.py holds the list against the product's addresses, so that a new page is
measured too. Not here: how (pages.py), and what is stored for it (pages_store.py).
"""

from __future__ import annotations

PAGES = {
    "home": "/",
    "home, running": "/_running/",
    "login": "/login/",
    "runs": "/runs/",
    "runs, found": "/runs/?kind=eval&q=copy",
    "run": "/runs/{run}/",
    "run, status": "/runs/{run}/_status/",
    "run, scores": "/runs/{run}/_scores/",
    "run, episodes": "/runs/{run}/_episodes/",
    "run, groups": "/runs/{rl}/_groups/",
    "run, points": "/runs/{run}/points/",
    "run of RL": "/runs/{rl}/",
    "live, 64 games": "/live/",
    "live game": "/live/{live}/",
    "live game, steps": "/live/{live}/steps/",
    "traces": "/traces/",
    "traces, best with wood": "/traces/?achievement=collect_wood&order=-n_achievements",
    "traces of a model": "/traces/?model={model}",
    "traces, import": "/traces/import/",
    "trace": "/traces/{trace}/",
    "trace, steps": "/traces/{trace}/steps/",
    "trace, turn": "/traces/{trace}/turns/5/",
    "trace, forks": "/traces/{trace}/_forks/",
    "curves": "/curves/",
    "curves, 8 runs": "/curves/?runs={eight}",
    "curves, lines": "/curves/lines/?runs={eight}&name=episodes.achievements",
    "compare": "/compare/",
    "compare, 2 runs": "/compare/?runs={other},{run}",
    "compare, 8 runs": "/compare/?runs={eight}",
    "compare, games": "/compare/games/?a={first_trace}&b={trace}",
    "datasets": "/datasets/",
    "dataset": "/datasets/{dataset}/",
    "dataset, difference": "/datasets/{dataset}/diff/?from={old_dataset}",
    "dataset, new": "/datasets/new/",
    "dataset, new, a run's games": "/datasets/new/?runs={run}",
    "dataset, new, all games": "/datasets/new/?task=crafter",
    "checkpoints": "/checkpoints/",
    "checkpoint": "/checkpoints/{checkpoint}/",
    "checkpoints, import": "/checkpoints/import/",
    "configs": "/configs/",
    "config": "/configs/{config}/",
    "config, new": "/configs/new/",
    "pipelines": "/pipelines/",
    "pipeline": "/pipelines/{pipeline}/",
    "pipeline, stages": "/pipelines/{pipeline}/_stages/",
    "search": "/search/?q=copy",
    "queue": "/queue/",
    "settings": "/settings/",
    "settings, password": "/settings/password/",
    "settings, keys": "/settings/keys/",
    "settings, providers": "/settings/providers/",
    "settings, aliases": "/settings/aliases/",
    "settings, users": "/settings/users/",
    "settings, projects": "/settings/projects/",
    "settings, storage": "/settings/storage/",
    "settings, workers": "/settings/workers/",
    "settings, webhooks": "/settings/webhooks/",
    "settings, audit": "/settings/audit/",
}
LISTS = {
    "API runs": "/api/v1/runs",
    "API run": "/api/v1/runs/{run}",
    "API events": "/api/v1/runs/{run}/events",
    "API metrics": "/api/v1/runs/{run}/metrics",
    "API traces": "/api/v1/traces",
    "API trace": "/api/v1/traces/{trace}",
    "API compare": "/api/v1/compare?runs={other},{run}",
    "API datasets": "/api/v1/datasets",
    "API checkpoints": "/api/v1/checkpoints",
    "API configs": "/api/v1/configs",
    "API queue": "/api/v1/queue",
}
# The bare page paints at once and asks for this count of all games behind it, so it has no bound.
BEHIND = frozenset(("dataset, new, all games",))
# Named addresses that are no page: they only change something, send a file or another address, or
# show a fragment while something happens that does not in the bench (turns: bench/replay.py).
NOT_MEASURED = frozenset((
    "home-install", "tour-close", "start", "logout", "run-latest", "runs-export", "runs-bulk",
    "run-tokens", "run-notes", "run-act", "traces-bulk", "traces-export", "trace-first",
    "trace-turns", "trace-verified", "trace-fork", "trace-verify", "trace-labels", "dataset-export",
    "checkpoint-archive", "checkpoint-act", "checkpoint-file", "config-check", "config-launch",
    "config-raw", "pipeline-act", "saved", "queue-act", "key-revoke", "provider-change",
    "provider-test", "provider-delete", "member-act", "project-switch", "webhook-act",
    "audit-export",
))  # fmt: skip


def is_fragment(address: str) -> bool:
    """Whether an address gives a part of a page, or data for one."""
    path = address.partition("?")[0]
    parts = ("/_", "/points/", "/steps/", "/lines/", "/turns/")
    return path.startswith("/api/") or any(part in path for part in parts)
