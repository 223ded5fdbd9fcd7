"""The task app over HTTP: every route of Synth's task apps, without Django and without torch.

`app.py` is the door (`make_app`), `python -m engine.http` serves it, a deployment bundle contains
it. Rollouts go through the same player as everywhere (`engine/rollout`), what they play is kept as
tracing v3 (`engine/traces/v3`). What a task shows of itself: `engine/tasks/face.py`.
"""
