"""What an engine tells the world: a closed set of event types, their writer and reader.

One JSON object a line in `events.jsonl`:
`{"seq": 1, "at": 1790000000.123, "type": ..., "data": {...}}`.
`seq` counts up from 1 within one attempt, without gaps; a line without its newline was torn by a
crash and does not count. The set is closed so that a new run kind never touches ingest.

| type       | data (TypedDict below) | stored as |
|------------|------------------------|-----------|
| log        | LogData                | event row |
| progress   | ProgressData           | event row, run's progress |
| metric     | MetricData             | one metric point a name |
| view       | ViewData               | live row, gone when the episode's payload is stored |
| episode    | EpisodeData            | episode row, its turns and unlocks |
| artifact   | ArtifactData           | file in storage, artifact row |
| dataset    | DatasetData            | dataset version |
| checkpoint | CheckpointData         | checkpoint row with its files |
| result     | ResultData             | the shard's result or error; the last event |

The set lives in `kinds.py`, writer and reader of the file in `files.py`.
"""

from engine.events.files import (
    Event,
    EventWriter,
    Unreadable,
    lines_before,
    read_events,
    read_lines,
)
from engine.events.kinds import (
    EVENT_TYPES,
    ArtifactData,
    CheckpointData,
    DatasetData,
    EpisodeData,
    ErrorData,
    EventType,
    FileData,
    LogData,
    MetricData,
    OriginData,
    ProgressData,
    ResultData,
    ViewData,
)

__all__ = [
    "EVENT_TYPES", "ArtifactData", "CheckpointData", "DatasetData", "EpisodeData", "ErrorData",
    "Event", "EventType", "EventWriter", "FileData", "LogData", "MetricData", "OriginData",
    "ProgressData", "ResultData", "Unreadable", "ViewData", "lines_before", "read_events",
    "read_lines",
]  # fmt: skip
