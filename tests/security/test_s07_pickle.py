"""S7: nothing that is published, received or sent can hold code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from engine.errors import StorageError
from tests.games import make_run

ROOT = Path(__file__).resolve().parents[2]
LOADERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "x.pkl", "training_args.bin"])
def test_a_published_checkpoint_with_a_pickle_is_refused(project, announce, name):
    run = make_run(project, "base", model="a/b")
    with pytest.raises(StorageError, match="holds only"):
        announce(run, files={"config.json": b"{}", name: b"\x80\x04"})


def test_celery_takes_json_only():
    from synthweb.celery import app

    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"


@pytest.mark.parametrize("room", ["apps", "synthweb"])
def test_no_module_of_the_web_can_unpickle(room):
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / room).rglob("*.py")
        for name in _imports(path)
        if name.partition(".")[0] in LOADERS
    ]
    assert found == []


def test_no_model_code_of_strangers_is_ever_run():
    for path in (ROOT / "engine").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert getattr(node.value, "value", None) is False, path
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                values = [k.value for k in node.keywords if k.arg == "weights_only"]
                assert [getattr(v, "value", None) for v in values] == [True], path


def _imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names
