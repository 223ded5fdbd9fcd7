"""Taking in what an engine tells: events.jsonl → rows, each event exactly once per run.

`HANDLERS` is the one registry: a room above registers `handler(ctx, events)` for a type in its
AppConfig.ready(); `CURVES` likewise, for the curves of a run over all its shards. Files are stored
before the transaction, rows are made in it (`batch.py`), what the runs keep themselves is in
`rows.py`, `metrics.py` and `views.py`.
"""

from apps.runs.ingest.batch import MAX_EVENTS, Source, ingest_batch, ingest_ready
from apps.runs.ingest.context import CURVES, HANDLERS, Handler, IngestContext
from apps.runs.ingest.metrics import add_values

__all__ = [
    "CURVES",
    "HANDLERS",
    "MAX_EVENTS",
    "Handler",
    "IngestContext",
    "Source",
    "add_values",
    "ingest_batch",
    "ingest_ready",
]
