"""Files: an upload is a dataset; wrong, large and deep ones are refused in words (S9)."""

from __future__ import annotations

import io
import json
import tracemalloc

import pytest

from apps.datasets.models import Dataset
from apps.datasets.services import uploading
from apps.synth.services import store_file
from tests.contract.calls import JSONL

pytestmark = pytest.mark.django_db


def test_the_same_content_twice_is_two_files_and_one_dataset(synth):
    first, again = synth.upload().json(), synth.upload(path="/learning/files").json()
    assert first["id"] != again["id"]
    assert first["dataset"] == again["dataset"] == Dataset.objects.get().pk
    listed = synth.get("/files").json()["data"]
    assert [row["id"] for row in listed] == [again["id"], first["id"]]
    assert synth.get(f"/learning/files/{first['id']}").json()["status"] == "ready"


def test_a_deleted_file_is_gone_and_its_dataset_stays(synth):
    file = synth.upload().json()["id"]
    assert synth.client.delete(f"/api/files/{file}").json()["deleted"] is True
    assert synth.get(f"/files/{file}").status_code == 404
    assert Dataset.objects.count() == 1


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"", 422, "no records"),
        (b"{}\n", 422, "line 1"),
        (JSONL + b"not json\n", 422, "line 5"),
        (b'{"messages": [{"role": "user", "content": NaN}]}\n', 422, "NaN"),
        (b'{"messages": ' + b"[" * 3000 + b"]" * 3000 + b"}\n", 422, "nested"),
        (b"\xff\xfe\n", 422, "UTF-8"),
        (b'{"messages": [], "x": "' + b"a" * uploading.MAX_LINE + b'"}\n', 413, "longer"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line_and_makes_nothing(synth, content, status, word):
    refused = synth.upload(content)
    assert refused.status_code == status
    assert word in refused.json()["detail"]
    assert Dataset.objects.count() == 0


def test_a_form_that_is_too_large_is_refused_before_it_is_read(synth, monkeypatch):
    monkeypatch.setattr("apps.synth.routers.files.MAX_BYTES", 10)
    monkeypatch.setattr("apps.synth.routers.files.OVERHEAD", 100)
    assert synth.upload().status_code == 413


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", "application/json"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"x", "multipart/form-data"),
        (b"", "multipart/form-data; boundary=" + "x" * 300),
    ],
)
def test_what_is_no_form_with_a_file_is_refused(synth, body, kind):
    assert synth.client.generic("POST", "/api/files", body, kind).status_code in (400, 422)


def test_memory_does_not_grow_with_the_file(actor):
    record = json.dumps({"messages": [{"role": "user", "content": "x" * 2000}]}).encode() + b"\n"
    peaks = []
    for n_records in (500, 5000):
        file = io.BytesIO(record * n_records)
        tracemalloc.start()
        store_file(actor=actor, name="a.jsonl", size=0, purpose="fine-tune", file=file)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2_000_000, peaks
