"""A small remote task app that plays Crafter honestly, or misbehaves on command.

    with TaskAppServer(key="env-key") as server:
        server.script("late:0.2", "half")       # the next two rollouts
        server.choose = lambda body: "500" if body["env"]["seed"] == 3 else None

The games are real (our own Crafter, a script chooses), so their answers can be simulated again.
`wrong` holds what /health and /task_info do instead of answering well.

| word                  | what a rollout does                                                 |
|-----------------------|---------------------------------------------------------------------|
| ok                    | plays and answers as CONTRACT §2 says                               |
| peer                  | the same with what the original puts into `info.meta`               |
| late:SECONDS          | answers after so long                                               |
| hang                  | never answers                                                       |
| close, half           | closes without an answer, or in the middle of it (died mid-episode) |
| 500 503 400 401 422   | that status with a JSON error                                       |
| 429[:SECONDS]         | 429 with Retry-After                                                |
| redirect              | 302 to another path                                                 |
| html empty huge       | 200 with a page, nothing, or 40 MB                                  |
| schema:WHAT           | a known key is missing, renamed or of another type                  |
| policy_error no_calls | 200 with the rollout_status of a model that failed                  |
| lies                  | claims an achievement that its actions do not give                  |
| echo                  | 401 that repeats the key                                            |
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any

from engine.rollout.policies import ScriptedPolicy
from engine.tasks import get_task
from tests.servers.raw_http import RawServer, send

Body = dict[str, Any]
KEY_HEADERS = ("x-api-key", "x-api-keys", "authorization")


class TaskAppServer(RawServer):
    """See the module. `rollouts` holds every body of /rollout, `keys` what was sent with each."""

    def __init__(self, *, key: str = "", port: int = 0) -> None:
        super().__init__(port)
        self.key = key
        self.default = "ok"
        self.wrong: dict[str, str] = {}  # path -> word
        self.choose: Callable[[Body], str | None] = lambda body: None
        self.rollouts: list[Body] = []
        self.keys: list[dict[str, str]] = []
        self.paths: list[str] = []
        self._script: deque[str] = deque()

    @property
    def url(self) -> str:
        return self.origin

    def script(self, *words: str) -> None:
        """What the next rollouts get, one word each; afterwards `choose`, then `default`."""
        self._script.extend(words)

    async def reply(
        self, path: str, headers: dict[str, str], raw: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        self.paths.append(path)
        self.keys.append({name: headers[name] for name in KEY_HEADERS if name in headers})
        if path.endswith("/rollout"):
            return await self._rollout(json.loads(raw or b"{}"), headers, writer)
        word = self.wrong.get(path.rpartition("/")[2], "ok")
        if word == "ok" and not self._may(headers):
            word = "401"
        if word != "ok":
            return await self._misbehave(word, b"", writer)
        good = HEALTH if path.endswith("/health") else TASK_INFO
        return await send(writer, 200, json.dumps(good).encode())

    async def _rollout(
        self, body: Body, headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> bool:
        self.rollouts.append(body)
        with self.counted():
            if not self._may(headers):
                return await self._misbehave("401", b"", writer)
            word = self._script.popleft() if self._script else self.choose(body) or self.default
            name, _, value = word.partition(":")
            answer = await play(body, name, value)
            return await self._misbehave(word, json.dumps(answer).encode(), writer)

    def _may(self, headers: dict[str, str]) -> bool:
        sent = headers.get("authorization", "").removeprefix("Bearer ")
        return not self.key or self.key in (sent, headers.get("x-api-key", ""))

    async def _misbehave(self, word: str, good: bytes, writer: asyncio.StreamWriter) -> bool:
        name, _, value = word.partition(":")
        if name == "late":
            await asyncio.sleep(float(value))
        if name == "hang":
            await asyncio.sleep(3600)
        if name == "close":
            return False
        if name == "half":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            writer.write(f"Content-Length: {len(good)}\r\n\r\n".encode() + good[: len(good) // 2])
            await writer.drain()
            return False
        if name == "429":
            wait = f"Retry-After: {value}\r\n" if value else ""
            return await send(writer, 429, b'{"detail": "slow down"}', wait)
        if name == "echo":
            said = json.dumps({"detail": f"key {self.key} is not known"}).encode()
            return await send(writer, 401, said)
        if name == "redirect":
            return await send(writer, 302, b"", "Location: http://10.0.0.1/\r\n")
        if name.isdigit():
            return await send(writer, int(name), b'{"detail": "scripted"}')
        bodies = {"html": b"<html>", "empty": b"", "huge": b" " * 40_000_000}
        return await send(writer, 200, bodies.get(name, good))


HEALTH = {"healthy": True, "auth": {"required": True}}
TASK_INFO = {
    "taskset": {},
    "task": {"id": "crafter_classic", "name": "Crafter Classic", "version": "1.0.0"},
    "environments": ["crafter"],
}


async def play(body: Body, word: str = "ok", value: str = "") -> Body:
    """A whole rollout answer for a request, as CONTRACT §2 has it; our guide chooses."""
    task = get_task("crafter")
    config = body["env"].get("config") or {}
    options = {"difficulty": config.get("difficulty", "normal"), "observation": "compact"}
    game = task.new_game(body["env"]["seed"], options)
    policy = ScriptedPolicy("guide", task.scripted["guide"])
    rewarder = task.step_rewards(config.get("step_rewards") or {"enabled": False})
    steps: list[Body] = []
    n_turns = 0 if word == "policy_error" else body["ops"].count("agent")
    for turn in range(n_turns):
        messages = task.messages(game, [])
        name, arguments = policy._script(messages, (game.seed, 0, turn))
        steps.append(_step(task, game, name, arguments, messages, rewarder, peer=word == "peer"))
        if steps[-1]["done"]:
            break
        await asyncio.sleep(0)
    return _answer(body, steps, game, rewarder, word, value)


def _step(
    task: Any, game: Any, name: str, arguments: Body, messages: list[Body], rewarder: Any, *,
    peer: bool,
) -> Body:  # fmt: skip
    text, new, reward, done = game.text(), list[str](), 0.0, False
    for action in task.read_call(name, arguments):
        result = game.step(action)
        new += result.unlocked
        reward += len(result.unlocked)
        done = result.done
        if done:
            break
    rewarder.decision(new, reward)
    info: Body = {"achievements_added": new, "stepwise": {"reward": rewarder.samples[-1]["r_i"]}}
    if peer:
        usage = {"prompt_tokens": 700, "completion_tokens": 20, "total_tokens": 720}
        info["meta"] = {
            "inference_request": {"messages": messages},
            "raw_response": {"model": "m", "choices": [], "usage": usage},
            "usage": usage,
            "timing": {"inference_ms": 26.0, "env_step_ms": 3.5},
        }
    return {
        "obs": {"text": text},
        "tool_calls": [{"tool_name": name, "arguments": arguments}],
        "reward": None if peer else reward,
        "done": done,
        "truncated": None if peer else False,
        "info": info,
    }


def _answer(body: Body, steps: list[Body], game: Any, rewarder: Any, word: str, value: str) -> Body:
    achieved = {name: name in game.unlocked for name in get_task("crafter").achievements}
    if word == "lies":
        achieved["collect_diamond"] = True
        steps[-1]["info"]["achievements_added"].append("collect_diamond")
    final: Body = {"observation": {"text": game.text(), "achievements_status": achieved}}
    if word in ("policy_error", "no_calls"):
        status = "policy_error" if word == "policy_error" else "no_tool_calls"
        final |= {"rollout_status": f"partial_{status}", "error": "500: the model is down"}
    total = float(sum(len(step["info"]["achievements_added"]) for step in steps))
    answer: Body = {
        "run_id": body["run_id"],
        "trajectories": [
            {"env_id": "e1", "policy_id": "p1", "steps": steps, "final": final,
             "length": len(steps), "decision_samples": rewarder.samples}
        ],
        "branches": {},
        "metrics": {
            "episode_returns": [total], "mean_return": total, "num_steps": len(steps),
            "num_episodes": 1, "outcome_score": None, "events_score": None,
            "details": {"stepwise": rewarder.details()},
        },
        "aborted": False,
        "ops_executed": 2 * len(steps),
        "trace": None,
    }  # fmt: skip
    return _changed(answer, value) if word == "schema" else answer


def _changed(answer: Body, what: str) -> Body:
    """The answer of a task app whose next version names things differently."""
    steps = answer["trajectories"][0]["steps"]
    if what == "no_trajectories":
        answer["episodes"] = answer.pop("trajectories")
    elif what == "trajectories_dict":
        answer["trajectories"] = {"0": answer["trajectories"][0]}
    elif what == "empty":
        answer["trajectories"] = []
    elif what == "steps_text":
        answer["trajectories"][0]["steps"] = "see the log"
    elif what == "calls_renamed":
        for step in steps:
            step["calls"] = step.pop("tool_calls")
    elif what == "reward_text":
        for step in steps:
            step["reward"] = "one"
    elif what == "list":
        return [answer]  # type: ignore[return-value]
    else:
        raise ValueError(what)
    return answer
