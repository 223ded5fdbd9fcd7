"""The real process: a small model that has learned one call by heart, behind real HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.train.card import Card, write_final
from engine.train.data import encode_records
from engine.train.sft import Options, train
from tests.engine.train.cast import SYSTEM, TOOLS, Silent, lessons, tiny_model, tiny_tokenizer
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow
TOKEN = "a token of the test"
MOST_TOKENS = 100_000  # that a request may ask for: the tiny model needs minutes for them


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer)
    examples = encode_records(enumerate(lessons(96), start=1), tokenizer, 512)
    options = Options(batch_size=16, learning_rate=1e-2, max_steps=200, save_seconds=None)
    train(model, tokenizer, examples, [], options, folder, Silent())
    model.config.max_position_embeddings = MOST_TOKENS + 5_000
    write_final(model, tokenizer, folder / "final", Card("t", "", "", "", {}, {}))
    return folder / "final"


def start(checkpoint: Path, **environment: str) -> tuple[subprocess.Popen[str], int]:
    """A server process and its port."""
    env = {**os.environ, "SYNTHWEB_SERVE_TOKEN": TOKEN, "OMP_NUM_THREADS": "1", **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.serve", "--model", f"small={checkpoint}"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert told["pid"] == process.pid
    return process, told["port"]


@pytest.fixture(scope="module")
def client(checkpoint: Path) -> Iterator[httpx.Client]:
    process, port = start(checkpoint)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as opened:
        yield opened
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0


def body(seen: str = "tree left 1", **changes: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": seen}]
    return {"model": "small", "messages": messages, "tools": TOOLS, "temperature": 0, **changes}


def ask(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    answer = client.post("/v1/chat/completions", json=body(**changes))
    assert answer.status_code == 200, answer.text
    record: dict[str, Any] = answer.json()
    return record


def test_the_call_comes_back_structured(client: httpx.Client) -> None:
    choice = ask(client, seen="cow left 2")["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == ""
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "interact_many", "arguments": '{"actions": ["sleep"]}'}


def test_sampled_ids_and_logprobs_come_when_asked(client: httpx.Client) -> None:
    answer = ask(client, return_token_ids=True)
    choice = answer["choices"][0]
    assert len(choice["completion_token_ids"]) == answer["usage"]["completion_tokens"]
    assert len(choice["prompt_token_ids"]) == answer["usage"]["prompt_tokens"]
    assert all(logprob <= 0 for logprob in choice["token_logprobs"])
    assert "prompt_token_ids" not in ask(client)["choices"][0]


def test_a_stream_carries_the_same_call(client: httpx.Client) -> None:
    with client.stream("POST", "/v1/chat/completions", json=body(stream=True)) as answer:
        lines = [line[6:] for line in answer.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert [c["function"]["arguments"] for c in calls] == ['{"actions": ["do"]}']
    assert not any("<tool_call>" in delta.get("content", "") for delta in deltas)
    assert chunks[-1]["usage"]["completion_tokens"] > 0


def test_without_tools_the_text_stays_text(client: httpx.Client) -> None:
    content = ask(client, tools=[], stop="</tool_call>")["choices"][0]["message"]["content"]
    assert "tool_call" in content
    assert "</tool_call>" not in content


def test_the_same_seed_gives_the_same_answer(client: httpx.Client) -> None:
    one, two = (ask(client, seed=5, temperature=2.0, return_token_ids=True) for _ in range(2))
    key = "completion_token_ids"
    assert one["choices"][0][key] == two["choices"][0][key]


def test_an_unknown_model_is_told_what_is_loaded(client: httpx.Client) -> None:
    answer = client.post("/v1/chat/completions", json=body(model="big"))
    assert answer.status_code == 404
    assert "loaded: small" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/load", "/unload"])
def test_a_stranger_gets_nothing(client: httpx.Client, path: str) -> None:
    method = "GET" if path == "/v1/models" else "POST"
    for headers in ({"Authorization": "Bearer wrong"}, {"Authorization": ""}):
        assert client.request(method, path, json={}, headers=headers).status_code == 401


def test_odd_requests_are_refused_with_the_reason(client: httpx.Client) -> None:
    for odd in (body(messages=[]), body(temperature=-1), {"model": "small"}):
        answer = client.post("/v1/chat/completions", json=odd)
        assert answer.status_code == 422
        assert answer.json()["error"]["message"]
    long = client.post("/v1/chat/completions", json=body(seen="tree " * (MOST_TOKENS + 5_000)))
    assert long.json()["error"]["code"] == "context_length_exceeded"


def test_models_come_and_go(client: httpx.Client, checkpoint: Path) -> None:
    loaded = client.post("/load", json={"model_id": "ck_2", "path": str(checkpoint)})
    assert loaded.json()["loaded"] == ["ck_2", "small"]
    assert {row["id"] for row in client.get("/v1/models").json()["data"]} == {"ck_2", "small"}
    assert ask(client, model="ck_2")["choices"]
    client.post("/unload", json={"model_id": "ck_2"})
    assert client.post("/v1/chat/completions", json=body(model="ck_2")).status_code == 404
    missing = client.post("/load", json={"model_id": "ck_3", "path": "/nowhere"})
    assert missing.status_code == 400


def test_many_at_once_are_all_answered(client: httpx.Client) -> None:
    seen = [f"{kind} left 1" for kind in ("tree", "cow", "water")] * 20
    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(lambda text: ask(client, seen=text), seen))
    for text, answer in zip(seen, answers, strict=True):
        expected = ask(client, seen=text)["choices"][0]["message"]["tool_calls"][0]["function"]
        assert answer["choices"][0]["message"]["tool_calls"][0]["function"] == expected


@pytest.mark.parametrize("stream", [True, False], ids=["a stream", "a call"])
def test_a_caller_that_hangs_up_frees_its_place(client: httpx.Client, stream: bool) -> None:
    """Which would decode for minutes yet: nothing but the hanging up can have freed it."""
    endless = body(stream=stream, ignore_eos=True, max_tokens=MOST_TOKENS)
    caller = HTTPConnection("127.0.0.1", client.base_url.port)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    caller.request("POST", "/v1/chat/completions", json.dumps(endless), headers)
    wait_until(lambda: active(client) == 1, "the answer to begin", 30)
    caller.close()
    wait_until(lambda: active(client) == 0, "the place to be free", 30)


def active(client: httpx.Client) -> int:
    """Requests that decode now."""
    n: int = client.get("/v1/models").json()["data"][0]["active"]
    return n


def test_a_stream_ends_with_ids_and_logprobs_when_asked(client: httpx.Client) -> None:
    asked = body(stream=True, return_token_ids=True, logprobs=True)
    with client.stream("POST", "/v1/chat/completions", json=asked) as answer:
        chunks = [
            json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {")
        ]
    (last,) = [c["choices"][0] for c in chunks if c["choices"] and c["choices"][0]["finish_reason"]]
    whole = ask(client, return_token_ids=True)["choices"][0]
    assert last["completion_token_ids"] == whole["completion_token_ids"]
    assert len(last["logprobs"]["content"]) == len(last["token_logprobs"])


def test_the_server_dies_with_its_lease(checkpoint: Path) -> None:
    read, write = os.pipe()
    os.set_inheritable(read, True)
    env = {**os.environ, "SYNTHWEB_SERVE_TOKEN": TOKEN, "SYNTHWEB_LEASE_FD": str(read)}
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.serve"],
        env=env,
        stdout=subprocess.PIPE,
        pass_fds=[read],
    )
    os.close(read)
    assert process.stdout is not None
    assert process.stdout.readline()
    os.close(write)
    assert process.wait(timeout=20) == 5


def test_without_a_token_it_does_not_start(checkpoint: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key != "SYNTHWEB_SERVE_TOKEN"}
    process = subprocess.run(
        [sys.executable, "-m", "engine.serve"], env=env, capture_output=True, text=True, check=False
    )
    assert process.returncode == 3
    assert "SYNTHWEB_SERVE_TOKEN" in process.stderr
