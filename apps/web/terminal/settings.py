"""The pages of the settings, by the name of their section."""

from __future__ import annotations

from apps.accounts.models import Role
from apps.web.terminal import Command, fetch, manage, send

ADMIN = Role.ADMIN
URL = "https://api.groq.com/openai/v1"


def of_section(name: str) -> list[Command]:
    """The commands of a section; none where only a browser can do it."""
    return SECTIONS.get(name, [])


def _admin(says: str, path: str) -> Command:
    return fetch(says, path)._replace(role=ADMIN)


SECTIONS: dict[str, list[Command]] = {
    "": [fetch("who the key is and what it may do", "/me")],
    "keys": [
        _admin("the keys of this project", "/keys"),
        send("make one", "POST", "/keys", {"name": "ci", "scopes": ["read", "write"]}, role=ADMIN),
        manage("at the server's own shell", "create_api_key", "ci", "--days", "30", role=ADMIN),
        send("turn key 2 off for good", "DELETE", "/keys/2", role=ADMIN),
    ],
    "providers": [
        fetch("the providers", "/providers"),
        send(
            "add one",
            "POST",
            "/providers",
            {"name": "groq", "base_url": URL, "key": "gsk_YOURS"},
            role=ADMIN,
        ),
        send("allow 8 calls at once", "PATCH", "/providers/1", {"max_concurrent": 8}, role=ADMIN),
        send("call it and say what came back", "POST", "/providers/1/test", role=ADMIN),
        send("remove it and its key", "DELETE", "/providers/1", role=ADMIN),
    ],
    "aliases": [
        fetch("the aliases", "/aliases"),
        send(
            "let a small model stand for a large one",
            "POST",
            "/aliases",
            {"requested": "Qwen/Qwen3-4B", "resolved": "synthweb/crafter-small"},
            role=ADMIN,
        ),
    ],
    "users": [
        _admin("the members", "/users"),
        send("let grace in", "POST", "/users", {"username": "grace", "role": "editor"}, role=ADMIN),
        send("change her role", "PATCH", "/users/grace", {"role": "viewer"}, role=ADMIN),
        send("take her out", "DELETE", "/users/grace", role=ADMIN),
    ],
    "projects": [
        fetch("your projects", "/projects"),
        send("make one", "POST", "/projects", {"name": "Maze"}, role=ADMIN),
    ],
    "storage": [fetch("what takes how much room", "/storage")],
    "workers": [fetch("the workers and what they hold", "/workers")],
    "webhooks": [
        _admin("the addresses that are told", "/webhooks"),
        send("add one", "POST", "/webhooks", {"url": "https://example.com/synthweb"}, role=ADMIN),
        send("send it a test", "POST", "/webhooks/1/test", role=ADMIN),
        send("remove it", "DELETE", "/webhooks/1", role=ADMIN),
    ],
    "audit": [_admin("the newest deeds", "/audit")],
}
