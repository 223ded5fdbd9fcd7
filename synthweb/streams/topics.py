"""What a stream listens to: parsed from `?topic=`, checked against the caller as the page checks.

`run:ID` or `run:ID:SEQ` (events of a run behind SEQ), `live` (games of the project), `live:ID`
(games of one run), `pages` (names of what changed). Positions travel in the event id:
`31:120,32:7`.
"""

from __future__ import annotations

from typing import NamedTuple

from apps.accounts.errors import Refused
from apps.accounts.queries import Actor
from apps.runs.models import Run

MAX_TOPICS = 60  # one stream serves all tabs of a browser


class Topics(NamedTuple):
    project_id: int
    runs: frozenset[int] = frozenset()
    live: bool = False  # all games of the project
    live_runs: frozenset[int] = frozenset()
    pages: bool = False


class Request(NamedTuple):
    topics: Topics
    after: dict[int, int]  # run → last seq the client has; a missing run starts at its newest


def parse(topics: list[str], last_event_id: str, project_id: int) -> Request:
    """Read the topics of a request. Raises Refused (422) for a word that is none of them."""
    if not 1 <= len(topics) <= MAX_TOPICS:
        raise _refused(f"Name 1 to {MAX_TOPICS} topics, found {len(topics)}.")
    after: dict[int, int] = {}
    runs, live_runs = set(), set()
    live = pages = False
    for topic in topics:
        word, *rest = topic.split(":")
        if not all(part.isascii() and part.isdigit() and len(part) < 16 for part in rest):
            raise _refused(f"topic {topic!r}: expected run:ID, run:ID:SEQ, live, live:ID or pages.")
        numbers = [int(part) for part in rest]
        if word == "run" and len(numbers) in (1, 2):
            runs.add(numbers[0])
            after.update({numbers[0]: numbers[1]} if len(numbers) == 2 else {})
        elif word == "live" and len(numbers) <= 1:
            live = live or not numbers
            live_runs.update(numbers)
        elif word == "pages" and not numbers:
            pages = True
        else:
            raise _refused(f"topic {topic!r}: expected run:ID, run:ID:SEQ, live, live:ID or pages.")
    after.update((run, seq) for run, seq in parse_position(last_event_id).items() if run in runs)
    found = Topics(project_id, frozenset(runs), live, frozenset(live_runs), pages)
    return Request(found, after)


def authorise(topics: Topics) -> None:
    """Every run named must be of the caller's project: anything else does not exist (404)."""
    named = topics.runs | topics.live_runs
    if named:
        known = Run.objects.filter(pk__in=named, project_id=topics.project_id).count()
        if known != len(named):
            raise Refused("not_found", "There is no such run.", "", status=404)


def project_of(actor: Actor) -> int:
    """The id of the project that the caller acts in."""
    return int(actor.project.pk)


def parse_position(text: str) -> dict[int, int]:
    """`31:120,32:7` → {31: 120, 32: 7}; parts that are no position are ignored."""
    position = {}
    for part in text.split(","):
        run, _, seq = part.partition(":")
        if run.isascii() and seq.isascii() and run.isdigit() and seq.isdigit() and len(part) < 32:
            position[int(run)] = int(seq)
    return position


def format_position(position: dict[int, int]) -> str:
    """The inverse of parse_position."""
    return ",".join(f"{run}:{seq}" for run, seq in sorted(position.items()))


def _refused(message: str) -> Refused:
    return Refused("bad_topic", message, "", status=422)
