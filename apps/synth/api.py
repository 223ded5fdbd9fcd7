"""The API that Synth's clients speak, below `/api/`: thin translations onto the services that the
pages use, so that a job from their command line is a run on the dashboard like any other.

The contract was recorded from synth-ai 0.2.12 and 0.2.16 (tests/contract/). Bodies are read in
`bodies.py`, events told in `events.py`; completions stand in `apps.inference`.
"""

from __future__ import annotations

from ninja import NinjaAPI

from apps.api.auth import ActorAuth
from apps.api.parser import StrictParser
from apps.synth import errors
from apps.synth.routers import account, files, jobs, models, task_apps, watching

api = NinjaAPI(
    title="synthweb, as Synth's clients speak to it",
    urls_namespace="synth",
    auth=ActorAuth(),
    parser=StrictParser(),
    docs_url=None,
    openapi_url=None,
)
errors.install(api)
for part in (files, jobs, watching, models, task_apps, account):
    api.add_router("", part.router)
