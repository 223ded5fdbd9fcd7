"""The tables of tracing v3, the SQLite form in which `synth-ai` keeps its traces.

Lives here: the schema, the columns in order, which of them must be there. Not here: rows
(`session.py`), writing (`writer.py`), reading (`reader.py`).

JSON stands in TEXT columns, times are ISO 8601, `event_time` is epoch seconds, `cost_usd` counts
cents. Tables that hang on a session come in the order in which their rows refer to each other.
"""

from __future__ import annotations

# Columns in the order of the original; "!" marks those that may not be NULL.
_COLUMNS = {
    "session_traces": "session_id! created_at! num_timesteps! num_events! num_messages! metadata "
    "experiment_id embedding",
    "session_timesteps": "id! session_id! step_id! step_index! turn_number started_at completed_at "
    "num_events num_messages step_metadata",
    "events": "id! session_id! timestep_id event_type! system_instance_id event_time message_time "
    "created_at model_name provider input_tokens output_tokens total_tokens cost_usd latency_ms "
    "span_id trace_id call_records reward terminated truncated system_state_before "
    "system_state_after metadata event_metadata embedding",
    "messages": "id! session_id! timestep_id message_type! content! timestamp event_time "
    "message_time metadata embedding",
    "outcome_rewards": "id! session_id! total_reward! achievements_count! total_steps! created_at! "
    "reward_metadata",
    "event_rewards": "id! event_id! session_id! message_id turn_number reward_value! reward_type "
    "key annotation source created_at!",
    "experiments": "experiment_id! name! description created_at updated_at configuration metadata",
    "systems": "system_id! name! system_type description created_at metadata",
    "system_versions": "version_id! system_id! version_number! commit_hash created_at "
    "configuration metadata",
    "experimental_systems": "id! experiment_id! system_id! version_id!",
}  # fmt: skip
COLUMNS: dict[str, tuple[str, ...]] = {
    table: tuple(name.rstrip("!") for name in text.split()) for table, text in _COLUMNS.items()
}
REQUIRED: dict[str, frozenset[str]] = {
    table: frozenset(name[:-1] for name in text.split() if name.endswith("!"))
    for table, text in _COLUMNS.items()
}
# The rows of one session, parents first.
SESSION_TABLES = (
    "session_timesteps", "events", "messages", "outcome_rewards", "event_rewards",
)  # fmt: skip
# Whatever describes the experiment that a session belongs to, parents first.
SHARED_TABLES = ("experiments", "systems", "system_versions", "experimental_systems")
# column -> the table whose id it names, within a session.
LINKS = {
    "timestep_id": "session_timesteps",
    "event_id": "events",
    "message_id": "messages",
}
JSON_COLUMNS = {
    "session_traces": ("metadata",),
    "session_timesteps": ("step_metadata",),
    "events": (
        "call_records", "system_state_before", "system_state_after", "metadata", "event_metadata",
    ),
    "messages": ("metadata",),
    "outcome_rewards": ("reward_metadata",),
    "event_rewards": ("annotation",),
}  # fmt: skip
EVENT_TYPES = frozenset(("cais", "environment", "runtime"))
MESSAGE_TYPES = frozenset(("user", "assistant", "system", "tool_use", "tool_result"))

# Types that the original declares; TEXT where none stands here.
_TYPES = {
    "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
    **dict.fromkeys(
        (
            "timestep_id", "event_id", "message_id", "num_timesteps", "num_events", "num_messages",
            "step_index", "turn_number", "message_time", "input_tokens", "output_tokens",
            "total_tokens", "cost_usd", "latency_ms", "total_reward", "achievements_count",
            "total_steps",
        ),
        "INTEGER",
    ),
    **dict.fromkeys(("event_time", "reward", "reward_value"), "FLOAT"),
    **dict.fromkeys(("terminated", "truncated"), "BOOLEAN"),
    **dict.fromkeys(
        ("created_at", "updated_at", "started_at", "completed_at", "timestamp"), "DATETIME"
    ),
    "embedding": "VECTOR",
    **dict.fromkeys(
        (
            "session_id", "step_id", "event_type", "system_instance_id", "model_name", "provider",
            "span_id", "trace_id", "message_type", "reward_type", "key", "source", "experiment_id",
            "system_id", "version_id", "name", "system_type", "version_number", "commit_hash",
        ),
        "VARCHAR",
    ),
}  # fmt: skip
_PRIMARY = {
    "session_traces": "session_id",
    "experiments": "experiment_id",
    "systems": "system_id",
    "system_versions": "version_id",
}
_REFERENCES = {
    "session_id": "session_traces(session_id)",
    "timestep_id": "session_timesteps(id)",
    "event_id": "events(id)",
    "message_id": "messages(id)",
    "experiment_id": "experiments(experiment_id)",
    "system_id": "systems(system_id)",
    "version_id": "system_versions(version_id)",
}
_EXTRA = {
    "session_timesteps": "UNIQUE(session_id, step_id)",
    "system_versions": "UNIQUE(system_id, version_number)",
    "events": "CHECK (event_type IN ('cais', 'environment', 'runtime'))",
    "messages": (
        "CHECK (message_type IN ('user', 'assistant', 'system', 'tool_use', 'tool_result'))"
    ),
}
_INDEXES = """
idx_session_created session_traces created_at
idx_session_experiment session_traces experiment_id
idx_timestep_session_step session_timesteps session_id, step_id
idx_timestep_turn session_timesteps turn_number
idx_event_session_step events session_id, timestep_id
idx_event_type events event_type
idx_event_created events created_at
idx_event_model events model_name
idx_event_trace events trace_id
idx_message_session_step messages session_id, timestep_id
idx_message_type messages message_type
idx_message_timestamp messages timestamp
idx_experiment_created experiments created_at
idx_experiment_name experiments name
idx_system_name systems name
idx_system_type systems system_type
idx_version_system system_versions system_id
idx_version_created system_versions created_at
idx_experimental_system experimental_systems experiment_id, system_id
idx_outcome_rewards_session outcome_rewards session_id
idx_outcome_rewards_total outcome_rewards total_reward
idx_event_rewards_session event_rewards session_id
idx_event_rewards_event event_rewards event_id
idx_event_rewards_type event_rewards reward_type
idx_event_rewards_key event_rewards "key"
"""
_VIEWS = (
    """CREATE VIEW IF NOT EXISTS model_usage_stats AS
    SELECT model_name, provider, COUNT(*) AS usage_count,
        SUM(input_tokens) AS total_input_tokens, SUM(output_tokens) AS total_output_tokens,
        SUM(total_tokens) AS total_tokens, SUM(cost_usd) / 100.0 AS total_cost_usd,
        AVG(latency_ms) AS avg_latency_ms, MIN(created_at) AS first_used,
        MAX(created_at) AS last_used
    FROM events WHERE event_type = 'cais' AND model_name IS NOT NULL
    GROUP BY model_name, provider""",
    """CREATE VIEW IF NOT EXISTS session_summary AS
    SELECT s.session_id, s.created_at, s.num_timesteps, s.num_events, s.num_messages,
        e.experiment_id, e.name AS experiment_name,
        COUNT(DISTINCT ev.model_name) AS unique_models_used,
        SUM(CASE WHEN ev.event_type = 'cais' THEN ev.cost_usd ELSE 0 END) / 100.0
            AS total_cost_usd
    FROM session_traces s LEFT JOIN experiments e ON s.experiment_id = e.experiment_id
        LEFT JOIN events ev ON s.session_id = ev.session_id
    GROUP BY s.session_id""",
    """CREATE VIEW IF NOT EXISTS experiment_overview AS
    SELECT e.experiment_id, e.name, e.description, e.created_at,
        COUNT(DISTINCT s.session_id) AS session_count, SUM(s.num_events) AS total_events,
        SUM(s.num_messages) AS total_messages, AVG(s.num_timesteps) AS avg_timesteps_per_session
    FROM experiments e LEFT JOIN session_traces s ON e.experiment_id = s.experiment_id
    GROUP BY e.experiment_id""",
)


def statements() -> list[str]:
    """Everything that makes an empty file one of tracing v3; each may be run again."""
    made = [_table(table) for table in (*SHARED_TABLES, "session_traces", *SESSION_TABLES)]
    for line in _INDEXES.strip().splitlines():
        name, table, columns = line.split(" ", 2)
        made.append(f"CREATE INDEX IF NOT EXISTS {name} ON {table} ({columns})")
    return [*made, *_VIEWS]


def _table(table: str) -> str:
    primary = _PRIMARY.get(table)
    lines, references = [], []
    for name in COLUMNS[table]:
        words = [f'"{name}"', _TYPES.get(name, "TEXT")]
        if name == primary:
            words.append("PRIMARY KEY")
        elif name in REQUIRED[table] and name != "id":
            words.append("NOT NULL")
        lines.append(" ".join(words))
        if name in _REFERENCES and name != primary:
            references.append(f"FOREIGN KEY({name}) REFERENCES {_REFERENCES[name]}")
    lines += references
    if table in _EXTRA:
        lines.append(_EXTRA[table])
    return f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(lines)})"
