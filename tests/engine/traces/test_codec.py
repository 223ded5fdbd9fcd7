"""The file form of a trace: lossless, readable in pieces, and safe to read from strangers."""

from __future__ import annotations

import json
import random
import struct
import zlib

import pytest

from engine.errors import StorageError
from engine.traces.codec import decode_trace, encode_trace, measure
from engine.traces.pieces import (
    read_columns,
    read_moment,
    read_steps,
    read_summary,
    read_turn,
    read_turn_page,
    read_turns,
)
from engine.traces.record import EpisodeSummary, Step, Trace, Turn


def make_trace(n_turns: int = 5, n_steps: int = 20) -> Trace:
    """An episode with every field set, text that is hard to store, and repeating prompts."""
    rng = random.Random(7)
    system = {"role": "system", "content": "rules\0 🌲 \ud800 ‮"}
    turns = [
        Turn(
            index=index,
            messages=[system, {"role": "user", "content": f"step {index}"}],
            content="",
            raw_calls=[{"id": "c", "name": "interact_many", "arguments": '{"actions": ["do"]}'}],
            actions=["do"] * 4,
            model_ms=0.1 + 0.2,
            prompt_ids=[1, 2, 2**31],
            completion_ids=[3],
            logprobs=[-1 / 3],
            pieces=["\ufffd"],
        )
        for index in range(n_turns)
    ]
    steps = [
        Step(index // 4, "do", 0.5, rng.randbytes(90 + index), f"{index:016x}", ("wake_up",))
        for index in range(n_steps)
    ]
    return Trace(
        make_summary(n_turns, n_steps),
        {"difficulty": "easy"},
        [{"type": "function"}],
        b"v0",
        "0" * 16,
        turns,
        steps,
    )


def make_summary(n_turns: int, n_steps: int) -> EpisodeSummary:
    return EpisodeSummary(
        task="crafter",
        world_version="crafter-1.8.3+d1",
        seed=3,
        repeat=1,
        policy_version=0,
        policy="random",
        model="m",
        provider="p",
        temperature=0.7,
        episode_return=2.5,
        outcome_reward=2.0,
        n_achievements=2,
        achievements=["collect_wood", "wake_up"],
        n_steps=n_steps,
        n_turns=n_turns,
        n_failed_calls=1,
        ended="max_steps",
        ending="",
        error="",
        prompt_tokens=10,
        completion_tokens=20,
        cost_usd=0.1,
        started_at=1790000000.5,
        duration_s=1 / 3,
        final_hash="ab" * 8,
        unlocks=[{"name": "collect_wood", "step": 3, "turn": 0}],
    )


def test_a_trace_comes_back_equal():
    trace = make_trace()
    assert decode_trace(encode_trace(trace)) == trace


def test_a_trace_without_turns_comes_back_equal():
    trace = make_trace(n_turns=0, n_steps=0)
    assert decode_trace(encode_trace(trace)) == trace


def test_pieces_are_the_same_as_the_whole():
    trace = make_trace()
    data = encode_trace(trace)
    assert read_summary(data) == trace.summary
    assert read_steps(data).steps == trace.steps
    assert read_turns(data) == trace.turns
    assert read_turn(data, 1) == trace.turns[1]
    assert read_turn(data, len(trace.turns)) is None
    assert read_moment(data, 0) == (0, trace.first_view)
    assert read_moment(data, 10**9) == (trace.steps[-1].turn, trace.steps[-1].view)


def test_a_page_of_turns_is_the_one_that_holds_a_turn():
    trace = make_trace(n_turns=7, n_steps=0)
    data = encode_trace(trace)
    for turn, first, n in ((0, 0, 3), (2, 0, 3), (5, 3, 3), (6, 6, 1), (99, 6, 1)):
        part = read_turn_page(data, turn, 3)
        assert (part.n_turns, part.first, len(part.turns)) == (7, first, n)
        assert part.turns[0].raw_calls == trace.turns[first].raw_calls
        assert (part.turns[0].messages, part.turns[0].prompt_ids) == ([], [])


def test_packed_columns_say_the_same_as_the_steps():
    trace = make_trace()
    columns = read_columns(encode_trace(trace))
    assert columns.actions == [step.action for step in trace.steps]
    assert columns.unlocked == [list(step.unlocked) for step in trace.steps]
    views = trace.first_view + b"".join(step.view for step in trace.steps)
    assert zlib.decompress(columns.views) == views
    assert sum(columns.sizes) == len(views)


def test_a_repeated_prompt_is_stored_once():
    small, large = (measure(encode_trace(make_trace(n_turns=n))) for n in (5, 50))
    assert large["messages"] < 4 * small["messages"]
    assert sum(size for name, size in large.items() if name != "total") < large["total"]


def test_every_cut_and_every_flipped_byte_is_refused_or_harmless():
    data = encode_trace(make_trace())
    for length in range(0, len(data), 7):
        with pytest.raises(StorageError, match="no readable trace"):
            decode_trace(data[:length])
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 0xFF
        with pytest.raises(StorageError, match="no readable trace"):
            decode_trace(bytes(broken))


def _forge(**sections: bytes) -> bytes:
    """A file whose table is right and whose sections are whatever the attacker likes."""
    honest = {
        name: _honest(name) for name in ("head", "steps", "views", "turns", "messages", "tokens")
    }
    plain = {**honest, **sections}
    packed = {name: zlib.compress(body) for name, body in plain.items()}
    rows = b"".join(
        struct.pack("<8sII", name.encode(), len(packed[name]), len(plain[name])) for name in plain
    )
    return struct.pack("<4sBB", b"SWTR", 1, len(plain)) + rows + b"".join(packed.values())


def _honest(name: str) -> bytes:
    data = encode_trace(make_trace())
    offset = 6 + 6 * 16
    for index in range(6):
        raw, packed, _ = struct.unpack_from("<8sII", data, 6 + index * 16)
        if raw.rstrip(b"\0").decode() == name:
            return zlib.decompress(data[offset : offset + packed])
        offset += packed
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("section", "body"),
    [
        ("head", b"[]"),
        ("head", b"{}"),
        ("head", b'{"summary": {"seed": "x"}}'),
        ("head", b"[" * 100_000),
        ("steps", b'{"view_sizes": [-1, 1]}'),
        ("steps", b'{"view_sizes": "all"}'),
        ("steps", json.dumps({"view_sizes": [10**12]}).encode()),
        ("turns", b'[{"index": {}}]'),
        ("turns", b'[{"message_links": [99]}]'),
        ("tokens", b"[]"),
        ("messages", b'"text"'),
        ("views", b""),
        ("views", b"\xff" * 10),
        ("turns", b"\xff\xfe"),
    ],
)
def test_a_forged_section_is_refused_with_a_reason(section: str, body: bytes):
    assert decode_trace(_forge())  # the forger's honest file is readable
    with pytest.raises(StorageError, match="no readable trace: "):
        decode_trace(_forge(**{section: body}))


def test_a_bomb_is_refused_before_it_unpacks():
    bomb = bytearray(_forge())
    struct.pack_into("<I", bomb, 6 + 12, 2**32 - 1)
    with pytest.raises(StorageError, match="would unpack to more"):
        decode_trace(bytes(bomb))


def test_a_section_larger_than_its_table_says_is_refused():
    grown = bytearray(_forge(views=b"\0" * 10_000_000))
    struct.pack_into("<I", grown, 6 + 2 * 16 + 12, 100)
    with pytest.raises(StorageError, match="section views is not 100 bytes"):
        decode_trace(bytes(grown))


def test_a_newer_version_is_named():
    data = bytearray(encode_trace(make_trace()))
    data[4] = 9
    with pytest.raises(StorageError, match="its version is 9; this program reads version 1"):
        decode_trace(bytes(data))
