from __future__ import annotations

import torch

from engine.serve.batch import Batch, Row, sample
from engine.serve.worker import seeded_generator
from tests.engine.train.cast import tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
MODEL = tiny_model(TOKENIZER).eval()


def row(text: str, seed: int = 0, max_tokens: int = 12, temperature: float = 1.0) -> Row:
    ids = TOKENIZER(text)["input_ids"]
    generator = seeded_generator(seed)
    return Row(ids, temperature, 1.0, max_tokens, frozenset([-1]), generator)


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
