"""Which problem a seed is, that the splits share none, and the operator's own file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config.play_sections import Family
from engine.errors import ConfigError
from engine.tasks import get_task
from engine.tasks.math.guide import solve
from engine.tasks.math.judge import judge
from engine.tasks.math.names import DIFFICULTIES, PROBLEMS_VARIABLE
from engine.tasks.math.problems import FAMILIES, families, is_test

TASK = get_task("math")
SOLVED = sorted(set(FAMILIES) - {"gsm_symbolic", "leg_counting"})


def text_of(seed: int, **options: object) -> str:
    return str(TASK.new_game(seed, options).text())


def test_a_seed_is_the_same_problem_in_every_process() -> None:
    here = [TASK.new_game(seed, {}).state_hash() for seed in range(5)]
    code = "from engine.tasks import get_task as g; t = g('math'); "
    code += "print([t.new_game(s, {}).state_hash() for s in range(5)])"
    for hash_seed in ("0", "17"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": hash_seed},
        )  # fmt: skip
        assert done.stdout.strip() == str(here)


def test_train_and_test_share_no_problem_even_where_a_family_is_small() -> None:
    words = {
        split: {
            " ".join(sorted(text_of(seed, split=split, difficulty="easy").split()))
            for seed in range(800)
        }
        for split in ("train", "test")
    }
    assert min(map(len, words.values())) > 200
    assert not words["train"] & words["test"]


def test_validation_is_another_name_of_test() -> None:
    assert text_of(3, split="validation") == text_of(3, split="test") != text_of(3, split="train")


def test_a_sum_is_in_the_same_split_as_its_terms_in_another_order() -> None:
    assert all(
        is_test(f"{a} + {b} =") == is_test(f"{b} + {a} =") for a in range(9) for b in (3, 40)
    )
    n_test = sum(is_test(f"{n} + 1 =") for n in range(5000))
    assert 900 < n_test < 1100  # a fifth


@pytest.mark.parametrize("family", SOLVED)
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_guide_solves_every_family_of_arithmetic(family: str, difficulty: str) -> None:
    for seed in range(30):
        game = TASK.new_game(seed, {"family": family, "difficulty": difficulty, "split": "test"})
        assert judge(solve(game.text()), game.problem.answer), game.text()  # type: ignore[attr-defined]


def test_the_guide_says_what_it_cannot_solve() -> None:
    with pytest.raises(ConfigError, match="plain arithmetic only"):
        solve(text_of(1, family="gsm_symbolic"))


def test_the_config_offers_the_families_that_there_are() -> None:
    assert sorted(Family.__args__) == families()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"family": "chess"}, "family 'chess' is unknown; known: basic_arithmetic"),
        ({"difficulty": "peaceful"}, "difficulty 'peaceful' is unknown; known: easy, normal, hard"),
        ({"split": "dev"}, "split 'dev' is unknown"),
        ({"observation": "map"}, "no option 'observation'; known: split"),
        ({"attempts": 0}, "attempts must be 1 to"),
        ({"reward_positive": "much"}, "reward_positive must be a number"),
        ({"index": -1}, "no integer from 0"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TASK.new_game(1, options)


def write_problems(folder: Path, rows: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "problems.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    monkeypatch.setenv(PROBLEMS_VARIABLE, str(path))


def test_the_operators_problems_are_played_by_index_or_seed_modulo_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"problem": f"p{n}", "answer": n, "split": "train"} for n in range(3)]
    write_problems(
        tmp_path, [*rows, {"question": "q", "answer": "1/2", "split": "test"}], monkeypatch
    )
    local = {"family": "local"}
    assert [text_of(seed, **local) for seed in (0, 2, 4)] == ["p0", "p2", "p1"]
    assert text_of(0, index=2, **local) == "p2"
    game = TASK.new_game(9, {**local, "split": "validation"})
    assert (game.text(), game.step("0.5").reward) == ("q", 1.0)
    before = game.world_version
    write_problems(tmp_path, rows, monkeypatch)
    assert TASK.new_game(0, local).world_version != before


def test_a_local_file_that_is_missing_or_odd_is_told_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no file of local problems"):
        TASK.new_game(1, {"family": "local"})
    write_problems(tmp_path, [{"problem": "p", "answer": "1"}, {"answer": "2"}], monkeypatch)
    with pytest.raises(ConfigError, match=r'problems.jsonl:2: needs "problem"'):
        TASK.new_game(1, {"family": "local"})
