"""What clients see of Crafter over HTTP, against what the original answered."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from engine.errors import ConfigError
from engine.tasks import get_face, get_task
from engine.tasks.face import Score
from tests.samples import task_app_calls

FACE = get_face("grpo-crafter")


def observe(seed: int, *actions: str, **options: Any) -> dict[str, Any]:
    game = get_task("crafter").new_game(seed, options)
    for action in actions:
        game.step(action)
    return FACE.observation(game, Score(max_steps=10_000))


def test_the_observation_is_the_originals_where_that_was_right():
    recorded = task_app_calls()["reset"]["response"]["observation"]
    ours = observe(6)
    differs = {name for name, value in recorded.items() if ours.get(name, "missing") != value}
    # Cut in the recording: pictures are drawn without the noise of night.
    assert differs == {
        "observation_image_base64", "observation_image_data_url", "semantic_map",
        "world_material_map",
    }  # fmt: skip
    assert [row[:3] for row in ours["semantic_map"][:2]] == recorded["semantic_map"][:2]
    assert len(ours["semantic_map"]) == len(ours["semantic_map"][0]) == 64


def test_the_picture_is_a_png_with_the_map_and_the_inventory():
    with Image.open(io.BytesIO(base64.b64decode(observe(1)["observation_image_base64"]))) as image:
        assert (image.format, image.size) == ("PNG", (64, 64))
        assert len(image.getcolors(4096) or ()) > 20


def test_trees_cows_and_hostiles_near_the_start_are_counted():
    game = get_task("crafter").new_game(4, {"difficulty": "hard"})
    facts = FACE.facts(game)
    assert facts["observation"]["traits"] == {"trees": 2, "cows": 0, "hostiles": 0}
    assert facts["dataset"]["difficulty"] == "hard"


def test_options_of_other_clients_are_left_out_and_wrong_values_refused():
    options = FACE.read_options({"difficulty": "easy", "area": [64, 64], "step_rewards": {}})
    assert options == {"difficulty": "easy", "observation": "synth"}
    with pytest.raises(ConfigError, match="difficulty"):
        get_task("crafter").new_game(1, FACE.read_options({"difficulty": {"a": 1}}))
