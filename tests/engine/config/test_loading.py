"""Configs are read with every mistake named: file, line, key, and the key that was meant.

What kind each shipped file is: tests/launch/test_shipped_configs.py.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine.config import ConfigErrors, Loaded, kind_of, load_json, load_toml

CONFIGS = Path(__file__).parents[3] / "configs"


def read(name: str) -> str:
    return (CONFIGS / name).read_text()


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load_toml(text, name="x.toml", read_file=read)
    return str(caught.value).split("\n")


def load(text: str) -> Loaded:
    return load_toml(text, name="x.toml", read_file=read)


def test_a_typo_names_file_line_key_and_the_nearest_key() -> None:
    text = read("crafter_fft.toml").replace("learning_rate =", "learning_rat =")
    line = next(i for i, row in enumerate(text.split("\n"), 1) if row.startswith("learning_rat "))
    with pytest.raises(ConfigErrors) as caught:
        load_toml(text, name="crafter_fft.toml")
    assert str(caught.value) == (
        f"crafter_fft.toml:{line} hyperparameters.learning_rat: unknown key, "
        "did you mean learning_rate? All keys: docs/config.md"
    )
    mistake = caught.value.mistakes[0]
    assert (mistake.line, mistake.column, mistake.nearest) == (line, 1, "learning_rate")


def test_all_mistakes_are_told_at_once_in_the_order_of_lines() -> None:
    found = mistakes('model = "random"\nseeds = []\nmax_turns = 0\n[rollout]\nmax_turn = 3\n')
    assert [line.split(":")[1].split(" ")[0] for line in found] == ["2", "3", "5"]
    assert "names no seed" in found[0]
    assert "greater than or equal to 1, not 0" in found[1]


def test_a_key_in_the_wrong_section_is_pointed_to_its_own() -> None:
    text = '[job]\nmodel = "m"\nlearning_rate = 1e-3\n'
    assert mistakes(text) == [
        "x.toml:3 job.learning_rate: unknown key here, did you mean "
        "hyperparameters.learning_rate? All keys: docs/config.md"
    ]


def test_a_wrong_word_names_the_allowed_ones_and_the_nearest() -> None:
    (line,) = mistakes('model = "random"\nseeds = [1]\ndifficulty = "peacefull"\n')
    assert line.startswith("x.toml:3 difficulty: must be 'easy', 'normal', 'hard' or 'peaceful'")
    assert line.endswith("did you mean peaceful?")


def test_text_that_is_no_toml_names_its_line() -> None:
    assert mistakes("a = 1\nsequence_length = 2048*2\n")[0].startswith(
        "x.toml:2 is not valid TOML: "
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('model = "m"\nnum_episodes = 3', "eval"),
        ('type = "rl"\nmodel = "m"\nnum_episodes = 3', "eval"),
        ('[job]\nmodel = "m"', "sft"),
        ('[model]\nbase = "m"\n[training]\nnum_epochs = 1', "rl"),
        ('type = "rollout"\nmodel = "m"\nseeds = [1]', "rollout"),
        ('[stages.a]\nconfig = {type = "noop"}', "pipeline"),
    ],
)
def test_the_kind_is_the_type_or_follows_from_the_sections(text: str, kind: str) -> None:
    assert load(text).kind == kind
    assert kind_of(load(text).data) == kind


def test_a_config_of_no_kind_says_what_would_make_one() -> None:
    assert "[job] (sft)" in mistakes("name = 'x'")[0]
    assert "did you mean eval?" in mistakes("type = 'evil'\nmodel = 'm'")[0]


def test_synth_keys_in_three_places_must_agree() -> None:
    agree = load('model = "m"\nnum_episodes = 2\nmax_turns = 7\n[rollout]\nmax_turns = 7\n')
    assert agree.config.play().max_turns == 7  # type: ignore[attr-defined]
    (line,) = mistakes('model = "m"\nnum_episodes = 2\nmax_turns = 7\n[rollout]\nmax_turns = 8\n')
    assert "max_turns = 7, rollout.max_turns = 8" in line


def test_seeds_are_read_in_every_form() -> None:
    def seeds(text: str) -> tuple[int, ...]:
        return load(f'model = "m"\n{text}').config.play().seeds  # type: ignore[attr-defined, no-any-return]

    assert seeds('seeds = "3..5, 9"') == (3, 4, 5, 9)
    assert seeds("seeds = {start = 7, count = 2}") == (7, 8)
    assert seeds("seeds = [4, 2]") == (4, 2)
    assert seeds("num_episodes = 3") == (1, 2, 3)
    assert seeds("num_episodes = 2\nseed_start = 0") == (0, 1)


@pytest.mark.parametrize(
    "seeds",
    ['"0..99999999999"', '"5..1"', "[1, 1]", "[-1]", "[true]", '""', "{count = 1, step = 2}", "3"],
)
def test_bad_seeds_are_refused(seeds: str) -> None:
    assert mistakes(f'model = "m"\nseeds = {seeds}')[0].startswith("x.toml:2 seeds")


@pytest.mark.parametrize(
    "line",
    [
        'api_key = "abc"',
        'policy.headers = {Authorization = "Bearer abcdefghijkl"}',
        'policy.headers = {X-Custom = "gsk_aaaaaaaaaaaaaaaaaaaaaaaa"}',
        'inference_url = "https://me:hunter2@example.com/v1"',
        'name = "sk-aaaaaaaaaaaaaaaaaaaaaaaaaaaa"',
        'tags = {password = "x"}',
    ],
)
def test_a_secret_is_refused_and_never_repeated(line: str) -> None:
    (told,) = mistakes(f'model = "m"\nseeds = [1]\n{line}\n')
    assert "looks like a secret" in told
    assert "add a provider" in told
    assert not any(word in told for word in ("abcdef", "aaaa", "hunter2"))


def test_max_tokens_is_no_secret() -> None:
    assert load('model = "m"\nseeds = [1]\nmax_tokens = 5').kind == "eval"


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n" * 200_000,
        "a" + ".a" * 200_000 + " = 1",
        "x = " + "[" * 100_000 + "]" * 100_000,
        "x = " + "{a = " * 3_000 + "1" + "}" * 3_000,
        "x = " + "9" * 100_000,
        "x = 0x" + "f" * 100_000,
        "".join(f"[[a]]\nb{i} = 1\n" for i in range(50_000)),
        "x = [" + "1," * 400_000 + "]",
        '"' + "a" * 900_000,
        "x = '''" + "\n" * 900_000,
        "\n".join(f"k{i} = 1" for i in range(50_000)),
        "x = 1979-05-27 07:32:00",
        "x = nan",
        'x = "\\u0000"',
        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r = 1",
    ],
    ids=lambda text: text[:12].replace("\n", " "),
)
def test_a_hostile_text_is_refused_in_no_time(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigErrors) as caught:
        load_toml(text)
    assert time.process_time() - began < 6
    assert len(str(caught.value)) < 5_000


def test_json_is_checked_like_toml() -> None:
    with pytest.raises(ConfigErrors, match="temprature: unknown key, did you mean temperature"):
        load_json({"model": "m", "seeds": [1], "temprature": 1})
    with pytest.raises(ConfigErrors, match="looks like a secret"):
        load_json({"model": "m", "seeds": [1], "policy": {"headers": {"authorization": "x"}}})
    with pytest.raises(ConfigErrors, match="cannot be stored"):
        load_json({"model": "m\ud800", "seeds": [1]})
