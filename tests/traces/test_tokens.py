"""A turn token by token: what was sampled, and how sure the model was of it."""

from __future__ import annotations

import json
from math import log

import pytest

from apps.traces.queries import sampled_tokens
from engine.llm.replies import Prices, read_answer
from engine.traces.record import Turn
from tests.games import make_run, make_trace, store_games


def turn_of(**values: list) -> Turn:
    return Turn(0, [], "", [], ["do"], **values)


def test_a_token_says_its_text_and_its_probability():
    logprobs = [log(p) for p in (0.97, 0.6, 0.2, 0.05, 0.001)]
    tokens = sampled_tokens(
        turn_of(completion_ids=[5, 6, 7, 8, 9], logprobs=logprobs, pieces=list("wood!"))
    )
    assert "".join(token.text for token in tokens) == "wood!"
    assert [token.level for token in tokens] == [0, 1, 2, 3, 4]
    assert tokens[2].probability == pytest.approx(0.2)


def test_an_older_trace_shows_the_numbers_of_its_tokens():
    tokens = sampled_tokens(turn_of(completion_ids=[5, 6], logprobs=[0.0, -1.0]))
    assert [token.text for token in tokens] == ["5", "6"]
    assert sampled_tokens(turn_of(completion_ids=[5, 6])) == []


def test_a_provider_s_tokens_are_read_from_its_logprobs():
    content = [{"token": "wo", "logprob": -0.1}, {"token": "od", "logprob": -0.2}]
    choice = {"message": {"content": "wood"}, "finish_reason": "stop",
              "logprobs": {"content": content}}  # fmt: skip
    reply = read_answer(json.dumps({"choices": [choice]}).encode(), Prices())
    assert (reply.pieces, reply.logprobs) == (("wo", "od"), (-0.1, -0.2))


@pytest.mark.django_db
def test_an_opened_turn_shows_its_tokens(client_of, alice, project):
    run = make_run(project, kind="rl")
    trace = make_trace(3)
    trace.turns[1].prompt_ids = [1, 2, 3]
    trace.turns[1].completion_ids, trace.turns[1].pieces = [40, 41], ["<b>", "do"]
    trace.turns[1].logprobs = [log(0.25), 0.0]
    trace.turns[2].completion_ids, trace.turns[2].finish_reason = [40], "length"
    [episode] = store_games(run, [trace])
    page = client_of(alice).get(f"/traces/{episode.pk}/turns/1/").content.decode()
    assert 'title="25%, token 40">&lt;b&gt;<small>25%</small>' in page
    assert 'title="100%, token 41">do</span>' in page
    assert "counts the 2 sampled tokens" in page
    assert "masks the 3 of the prompt" in page
    cut = client_of(alice).get(f"/traces/{episode.pk}/turns/2/").content.decode()
    assert "masks all of this turn: the answer was cut off" in cut
    bare = client_of(alice).get(f"/traces/{episode.pk}/turns/0/").content.decode()
    assert "token by token" not in bare
    assert "loss mask" not in bare
    run.kind = "eval"
    run.save(update_fields=["kind"])
    played = client_of(alice).get(f"/traces/{episode.pk}/turns/1/").content.decode()
    assert "loss mask" not in played
