from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from engine.serve.batch import Batch, Row, sample
from engine.serve.prefixes import MAX_KEPT, Prefixes
from engine.serve.worker import seeded_generator
from engine.train.card import Card, write_final
from engine.train.model import load_model
from tests.engine.train.cast import tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
MODEL = tiny_model(TOKENIZER).eval()
SHARP = 0.02  # fresh weights hardly prefer anything: at this temperature they do


def row(
    text: str,
    seed: int = 0,
    max_tokens: int = 12,
    temperature: float = 1.0,
    adapter: str = "",
) -> Row:
    ids = TOKENIZER(text)["input_ids"]
    generator = seeded_generator(seed)
    return Row(ids, temperature, 1.0, max_tokens, frozenset([-1]), generator, adapter)


def finish(batch: Batch) -> None:
    while batch.rows:
        batch.step()


def test_a_row_says_the_same_alone_and_among_others_that_come_and_go() -> None:
    alone = row("tree left 2", seed=7)
    batch = Batch(MODEL)
    batch.join([alone])
    finish(batch)
    among = row("tree left 2", seed=7)
    batch.join([row("cow stone water right do sleep", 1, 3)])
    batch.step()
    batch.join([among, row("water", 2, 30)])
    batch.step()
    batch.join([row("stone " * 40, 3, 5)])
    finish(batch)
    assert among.completion == alone.completion
    torch.testing.assert_close(torch.tensor(among.logprobs), torch.tensor(alone.logprobs))


def test_logprobs_are_those_of_a_plain_forward_pass() -> None:
    done = row("cow left 1", seed=3)
    batch = Batch(MODEL)
    batch.join([row("tree " * 9, 1), done])
    finish(batch)
    ids = torch.tensor([done.prompt + done.completion])
    with torch.inference_mode():
        logprobs = MODEL(input_ids=ids).logits[0, len(done.prompt) - 1 : -1].log_softmax(-1)
    expected = logprobs.gather(1, torch.tensor(done.completion)[:, None])[:, 0]
    assert (expected - torch.tensor(done.logprobs)).abs().max() < 1e-3


def test_a_row_ends_at_its_stop_token_or_its_length() -> None:
    length = row("tree", max_tokens=4, temperature=0)
    batch = Batch(MODEL)
    batch.join([length])
    finish(batch)
    assert (len(length.completion), length.finish_reason) == (4, "length")
    stopped = row("tree", max_tokens=4, temperature=0)
    stopped.stop_ids = frozenset(length.completion[:1])
    batch.join([stopped])
    assert (len(stopped.completion), stopped.finish_reason) == (1, "stop")
    assert batch.rows == []


def test_a_dropped_row_leaves_the_others_alone() -> None:
    alone, kept, dropped = row("cow", 5), row("cow", 5), row("tree " * 30, 6)
    batch = Batch(MODEL)
    batch.join([alone])
    finish(batch)
    batch.join([dropped, kept])
    batch.drop([dropped])
    finish(batch)
    assert kept.completion == alone.completion
    assert len(dropped.completion) == 1


def test_top_p_never_takes_from_the_tail() -> None:
    logits = torch.log(torch.tensor([0.6, 0.3, 0.1]))
    generator = seeded_generator(0)
    taken = {sample(logits, 1.0, 0.8, generator)[0] for _ in range(200)}
    assert taken == {0, 1}


def test_temperature_zero_takes_the_most_likely() -> None:
    logits = torch.log(torch.tensor([0.3, 0.6, 0.1]))
    token, logprob = sample(logits, 0.0, 1.0, seeded_generator(None))
    assert token == 1
    assert abs(logprob - torch.log(torch.tensor(0.6)).item()) < 1e-5


def adapter(folder: Path, seed: int) -> Path:
    """A random adapter of MODEL as a checkpoint's folder, with its base beside it."""
    base = tiny_model(TOKENIZER)
    torch.manual_seed(seed)
    lora = LoraConfig(
        r=4, lora_alpha=64, target_modules="all-linear", init_lora_weights=False,
        task_type="CAUSAL_LM",
    )  # fmt: skip
    model = get_peft_model(base, lora)
    write_final(model, TOKENIZER, folder / f"a{seed}", Card("t", "test/tiny", "", "", {}, {}))
    if not (folder / "base").exists():
        write_final(tiny_model(TOKENIZER), TOKENIZER, folder / "base", Card("", "", "", "", {}, {}))
    (folder / f"a{seed}" / "base").symlink_to("../base")
    return folder / f"a{seed}"


def test_rows_of_one_batch_go_each_through_their_own_adapter(tmp_path: Path) -> None:
    folders = {"one": adapter(tmp_path, 1), "two": adapter(tmp_path, 2)}
    expected = {"": alone(MODEL, row("tree left 2", 7, temperature=SHARP))}
    for name, folder in folders.items():
        expected[name] = alone(
            load_model(folder)[0].eval(), row("tree left 2", 7, temperature=SHARP)
        )
    assert len({tuple(ids) for ids in expected.values()}) == 3
    batch = Batch(tiny_model(TOKENIZER).eval())
    rows = {}
    for name in ("", "one", "two"):
        if name:
            batch.add_adapter(name, folders[name])
        rows[name] = row("tree left 2", 7, temperature=SHARP, adapter=name)
    batch.join(list(rows.values()))
    finish(batch)
    assert {name: r.completion for name, r in rows.items()} == expected


def test_a_dropped_adapter_leaves_the_base_and_can_come_back(tmp_path: Path) -> None:
    folder = adapter(tmp_path, 1)
    expected = alone(MODEL, row("cow", 3, temperature=SHARP))
    batch = Batch(tiny_model(TOKENIZER).eval(), Prefixes())
    batch.add_adapter("one", folder)
    user = row("cow", 3, temperature=SHARP, adapter="one")
    batch.join([user])
    batch.drop_adapter("one")
    assert (user.finish_reason, batch.rows) == ("cancelled", [])
    base = row("cow", 3, temperature=SHARP)
    batch.join([base])
    finish(batch)
    assert base.completion == expected
    batch.add_adapter("again", folder)
    again = row("cow", 3, temperature=SHARP, adapter="again")
    batch.join([again])
    finish(batch)
    assert again.completion == alone(load_model(folder)[0].eval(), row("cow", 3, temperature=SHARP))


def test_a_shared_beginning_is_read_once_and_changes_nothing() -> None:
    system = "tree cow water stone left right up do " * 8
    texts = [f"{system}{end}" for end in ("cow", "water left", "stone " * 9, "tree up right")]
    expected = [alone(MODEL, row(text, seed)) for seed, text in enumerate(texts)]
    prefixes = Prefixes()
    batch = Batch(MODEL, prefixes)
    for text in texts[:2]:
        alone(MODEL, row(text, 9), batch)
    assert prefixes.n_hits == 0
    rows = [row(text, seed) for seed, text in enumerate(texts)]
    batch.join(rows)
    finish(batch)
    assert prefixes.n_hits == len(rows)
    assert prefixes.tokens_saved >= len(rows) * 64
    assert [r.completion for r in rows] == expected


def test_a_beginning_that_another_row_pushes_out_still_serves_the_row_that_found_it() -> None:
    words = ["tree", "cow", "water", "stone", "left", "right", "up", "do"]
    systems = [" ".join([first, second] * 20) for first in words for second in words][
        : MAX_KEPT + 1
    ]
    batch = Batch(MODEL, Prefixes())
    for system in systems[:-1]:
        for end in ("cow", "tree"):
            alone(MODEL, row(f"{system} {end}", 9), batch)
    alone(MODEL, row(f"{systems[-1]} cow", 9), batch)
    texts = [f"{systems[-1]} tree", f"{systems[0]} up"]
    rows = [row(text, 5) for text in texts]
    batch.join(rows)
    finish(batch)
    assert [r.completion for r in rows] == [alone(MODEL, row(text, 5)) for text in texts]


def alone(model: Any, asked: Row, batch: Batch | None = None) -> list[int]:
    """What a row says in a batch of its own."""
    batch = batch or Batch(model)
    batch.join([asked])
    finish(batch)
    return asked.completion
