"""Files that people bring: exact errors, limits, nothing half imported."""

from __future__ import annotations

import io
import json

import pytest

from apps.accounts.errors import Refused
from apps.datasets import queries, services
from apps.datasets.models import Dataset
from apps.datasets.services import uploading
from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db
GOOD = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}
LINE = json.dumps(GOOD).encode() + b"\n"


def _upload(project, content: bytes):
    return services.upload_dataset(project=project, user=None, name="up", file=io.BytesIO(content))


def test_a_good_file_is_stored_line_by_line(project):
    dataset = _upload(project, LINE + b"\n" + LINE.strip())
    assert (dataset.n_records, dataset.source, dataset.version) == (2, "upload", 1)
    assert queries.read_records(dataset) == [GOOD, GOOD]
    assert _upload(project, LINE + LINE) == dataset


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "no JSON"),
        (b"[]", "expected an object"),
        (b'{"messages": []}', "messages: expected a list of 1"),
        (b'{"messages": [3]}', r"messages\[0\]: expected an object"),
        (b'{"messages": [{"content": "x"}]}', r"messages\[0\].role"),
        (b'{"messages": [{"role": "user", "content": 3}]}', r"messages\[0\].content"),
        (
            b'{"messages": [{"role": "a", "content": null, "tool_calls": [{"function": {}}]}]}',
            r"tool_calls\[0\].function.name",
        ),
        (b'{"messages": [{"role": "user", "content": NaN}]}', "NaN is no JSON number"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "surrogates"),
        (b'{"messages": ' + b"[" * 100_000, "nested too deeply|no JSON"),
        (b'{"x": ' + b"[" * 40 + b"]" * 40 + b', "messages": []}', "nested deeper than 32"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_stored(project, line, why):
    with pytest.raises(Refused, match=why) as refused:
        _upload(project, LINE + line + b"\n")
    assert refused.value.status == 422
    assert list(refused.value.fields) == ["line 2"]
    assert not Dataset.objects.exists()


def test_all_wrong_lines_are_named_up_to_a_limit(project):
    with pytest.raises(Refused) as refused:
        _upload(project, b"{\n" * 50)
    assert len(refused.value.fields) == uploading.MAX_MISTAKES


def test_limits_are_said_with_413(project, monkeypatch):
    monkeypatch.setattr(uploading, "MAX_LINE", 100)
    with pytest.raises(Refused, match="Line 2 is longer") as refused:
        _upload(project, LINE + b'{"a": "' + b"x" * 100 + b'"}')
    assert refused.value.status == 413
    monkeypatch.setattr(uploading, "MAX_RECORDS", 2)
    with pytest.raises(Refused, match="more than 2 lines"):
        _upload(project, LINE * 3)


def test_an_empty_file_and_an_odd_name_are_refused(project):
    with pytest.raises(Refused, match="no records"):
        _upload(project, b"\n\n")
    with pytest.raises(Refused, match="1 to 200"):
        services.upload_dataset(project=project, user=None, name="\0", file=io.BytesIO(LINE))


def test_worlds_survive_a_round_trip_so_that_leaks_are_seen(project):
    store_games(make_run(project, "rollout"), [make_trace(7), make_trace(8)])
    made = services.create_dataset(project=project, user=None, name="a", filter={})
    again = _upload(project, b"".join(queries.export(made, format="trl")))
    assert queries.seeds_of(again) == queries.seeds_of(made) != []
