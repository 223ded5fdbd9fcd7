"""Importing tracing v3: lossless, once, whole, and traces like ours afterwards."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.runs.models import Run, RunState
from apps.traces.importing import import_file
from apps.traces.models import Episode, ImportedSession
from apps.traces.queries import EpisodeQuery, list_episodes, load_turns
from engine.errors import StorageError
from engine.rollout.player import play_episode
from engine.rollout.policies import ScriptedPolicy
from engine.rollout.recording import EpisodeSpec, PlayerOptions
from engine.tasks import get_task
from engine.traces.record import Trace
from engine.traces.v3 import TraceDb, build_session
from engine.traces.v3.schema import COLUMNS, SESSION_TABLES
from tests.games import make_run, make_trace, store_games
from tests.samples import sample
from tests.v3_files import write_file

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def operator(alice, project):
    alice.is_superuser = True
    alice.save()


def rows_of(path: Path) -> dict[str, list[Any]]:
    db = sqlite3.connect(path)
    tables = ("session_traces", *SESSION_TABLES)
    sql = "SELECT {} FROM {} ORDER BY 1"
    try:
        return {
            table: db.execute(
                sql.format(", ".join(f'"{name}"' for name in COLUMNS[table]), table)
            ).fetchall()
            for table in tables
        }
    finally:
        db.close()


def run_command(name: str, *flags: str) -> Any:
    out = io.StringIO()
    call_command(name, *flags, "--json", stdout=out)
    return json.loads(out.getvalue())


def play(seed: int, n_turns: int = 3) -> Trace:
    """A real game of the random policy."""
    task = get_task("crafter")
    options = PlayerOptions(max_turns=n_turns, policy="random")
    game = play_episode(
        task,
        task.new_game(seed, {}),
        EpisodeSpec(seed),
        ScriptedPolicy("random", task.scripted["random"]),
        options,
    )
    return asyncio.run(game)


@pytest.mark.parametrize("name", ["tracing_v3.db", "tracing_v3_names.db"])
def test_an_import_exported_gives_the_same_rows_back(name: str, tmp_path: Path) -> None:
    file = sample(name)
    made = run_command("import_traces", str(file))
    assert made["imported"] == 5
    out = tmp_path / "out.db"
    assert run_command("export_traces", "--run", str(made["run"]), "--out", str(out)) == {
        "output": str(out), "sessions": 5,
    }  # fmt: skip
    assert rows_of(out) == rows_of(file)


def test_rows_of_every_type_come_back(project, tmp_path: Path) -> None:
    file = write_file(tmp_path / "in.db", 3)
    db = sqlite3.connect(file)
    db.execute("UPDATE session_traces SET embedding = x'0001ff', experiment_id = 'e1'")
    db.execute("INSERT INTO experiments VALUES ('e1', 'first', 'é', '2026', '2026', '{}', '{}')")
    db.execute("INSERT INTO systems VALUES ('s1', 'app', 'policy', NULL, '2026', NULL)")
    db.execute("INSERT INTO system_versions VALUES ('v1', 's1', '1', NULL, '2026', NULL, NULL)")
    db.execute("INSERT INTO experimental_systems VALUES (7, 'e1', 's1', 'v1')")
    db.execute(
        "INSERT INTO messages (session_id, timestep_id, message_type, content, event_time) "
        "SELECT session_id, id, 'user', 'hello \U0001f332 ' || id, 1.1 FROM session_timesteps"
    )
    db.execute("UPDATE outcome_rewards SET total_reward = 0.1")
    db.commit()
    db.close()
    import_file(project=project, user=None, path=file)
    run_command("export_traces", "--out", str(tmp_path / "out.db"))
    assert rows_of(tmp_path / "out.db") == rows_of(file)
    db = sqlite3.connect(tmp_path / "out.db")
    assert db.execute("SELECT * FROM experimental_systems").fetchall() == [(7, "e1", "s1", "v1")]
    db.close()


def test_a_second_import_changes_nothing_and_a_grown_file_adds_the_rest(project, tmp_path):
    file = write_file(tmp_path / "in.db", 4)
    first = import_file(project=project, user=None, path=file)
    before = list(Episode.objects.values())
    again = import_file(project=project, user=None, path=file)
    assert (again.run, again.n_sessions, again.n_imported) == (None, 4, 0)
    assert list(Episode.objects.values()) == before
    assert Run.objects.count() == 1
    write_file(tmp_path / "more.db", 6)
    third = import_file(project=project, user=None, path=tmp_path / "more.db")
    assert (first.n_imported, third.n_imported) == (4, 2)


def test_a_deleted_import_can_be_imported_again(project, tmp_path):
    file = write_file(tmp_path / "in.db", 2)
    import_file(project=project, user=None, path=file).run.delete()
    assert ImportedSession.objects.count() == 0
    assert import_file(project=project, user=None, path=file).n_imported == 2


def test_imported_sessions_are_traces_like_ours(project, tmp_path):
    done = import_file(project=project, user=None, path=write_file(tmp_path / "in.db", 4))
    run = Run.objects.get(pk=done.run.pk)
    assert (run.kind, run.state, run.task) == ("import", RunState.SUCCEEDED, "crafter")
    assert run.result["imported"] == run.progress_done == 4
    query = EpisodeQuery(run=run.pk, achievement="place_table", model="Qwen/Qwen3-4B")
    (row,) = list_episodes(project=project, query=query).items
    assert row.achievements == ["collect_sapling", "collect_wood", "place_table", "wake_up"]
    assert (row.episode.seed, row.episode.n_turns, row.episode.provider) == (4, 6, "custom")
    turn = load_turns(row.episode)[0]
    assert [message["role"] for message in turn.messages] == ["system", "user"]
    assert turn.raw_calls[0]["name"] == "interact_many"
    assert turn.unlocked == ["collect_sapling"]
    assert list(row.episode.turns.values_list("unlocked", flat=True))[:2] == [
        "collect_sapling", "collect_wood",
    ]  # fmt: skip


def test_our_own_export_comes_back_verified_with_its_pictures(project, tmp_path):
    trace = play(5)
    (episode,) = store_games(make_run(project), [trace])
    run_command("export_traces", "--trace", str(episode.pk), "--out", str(tmp_path / "x.db"))
    done = import_file(project=project, user=None, path=tmp_path / "x.db")
    assert done.n_verified == 1
    copy = Episode.objects.get(run=done.run)
    assert copy.verified is True
    assert copy.verify_note.endswith("the same state hashes as recorded")
    same = ("seed", "n_steps", "final_hash", "final_view", "world_version", "episode_return",
            "n_achievements", "ended", "prompt_tokens")  # fmt: skip
    assert [getattr(copy, name) for name in same] == [getattr(episode, name) for name in same]


def test_a_game_of_other_rules_is_marked_with_the_reason(project, tmp_path):
    trace = play(5)
    trace.steps[-1].state_hash = "0" * 16
    trace.summary.final_hash = "0" * 16
    with TraceDb(tmp_path / "x.db") as db:
        db.write(build_session(trace, session_id="s"))
    import_file(project=project, user=None, path=tmp_path / "x.db")
    episode = Episode.objects.get()
    assert episode.verified is False
    assert "as recorded" in episode.verify_note
    assert episode.world_version == "tracing-v3"


def test_games_of_one_seed_are_numbered(project, tmp_path):
    with TraceDb(tmp_path / "x.db") as db:
        for _ in range(3):
            db.write(build_session(make_trace(3), session_id="eval-3"))
    import_file(project=project, user=None, path=tmp_path / "x.db")
    assert list(Episode.objects.order_by("pk").values_list("seed", "repeat")) == [
        (3, 0), (3, 1), (3, 2),
    ]  # fmt: skip
    names = ImportedSession.objects.order_by("pk").values_list("session_id", flat=True)
    assert list(names) == ["eval-3", "eval-3-2", "eval-3-3"]


def test_sft_records_of_an_import_are_those_of_its_file(project, tmp_path):
    file = write_file(tmp_path / "in.db", 5)
    import_file(project=project, user=None, path=file)
    outs = tmp_path / "file.jsonl", tmp_path / "games.jsonl"
    run_command("export_sft", "--db", str(file), "--min-unique", "2", "--out", str(outs[0]))
    run_command("export_sft", "--min-unique", "2", "--out", str(outs[1]))
    records = [[json.loads(line) for line in out.open()] for out in outs]
    assert records[0] == records[1] != []


def test_the_commands_fail_with_words(tmp_path):
    with pytest.raises(CommandError, match=r"nothing\.db: it cannot be read"):
        run_command("import_traces", str(tmp_path / "nothing.db"))
    with pytest.raises(CommandError, match="No episode matches"):
        run_command("export_traces", "--out", str(tmp_path / "o.db"))
    (tmp_path / "o.db").touch()
    with pytest.raises(CommandError, match="--overwrite"):
        run_command("export_traces", "--out", str(tmp_path / "o.db"))


def test_nothing_is_imported_of_a_file_with_one_wrong_row(project, tmp_path):
    file = write_file(tmp_path / "in.db", 3)
    db = sqlite3.connect(file)
    db.execute("UPDATE events SET metadata = '{\"turn\": 1' WHERE id = 30")
    db.commit()
    db.close()
    with pytest.raises(StorageError, match=r"in\.db: events, row 30, column metadata: it is no J"):
        import_file(project=project, user=None, path=file)
    assert not Episode.objects.exists()
    assert not Run.objects.exists()
