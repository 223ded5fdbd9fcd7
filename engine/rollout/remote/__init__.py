"""Episodes that somebody else's task app plays: `player` asks through `client`, `answers`
reads what it says, `episode` makes a trace of it and checks it by playing it again."""

from engine.rollout.remote.client import TaskAppClient, TaskAppOptions
from engine.rollout.remote.player import Allowance, RemotePlayer, RemoteTask

__all__ = ["Allowance", "RemotePlayer", "RemoteTask", "TaskAppClient", "TaskAppOptions"]
