"""What a run was frozen with opens in the editor, to be changed and launched again."""

from __future__ import annotations

import pytest

from engine.config import load_toml
from tests.games import make_run

pytestmark = pytest.mark.django_db
FROZEN = {"type": "eval", "model": "random", "provider": "builtin", "seeds": "7..9"}


def test_a_run_opens_in_the_editor_as_a_config_that_can_be_launched(client_of, alice, project):
    run = make_run(project, resolved=FROZEN)
    page = client_of(alice).get(f"/configs/new/?run={run.pk}")
    text = page.context["text"]
    assert load_toml(text).config.episode_seeds() == (7, 8, 9)  # type: ignore[attr-defined]


def test_a_strangers_run_does_not_open(client_of, mallory, project):
    run = make_run(project, resolved=FROZEN)
    answer = client_of(mallory).get(f"/configs/new/?run={run.pk}")
    assert answer.status_code in (403, 404)
