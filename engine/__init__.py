"""The training loop as plain Python: no Django, no Celery.

`python -m engine RUN_DIR` reads `config.json`, appends `events.jsonl` and writes artifacts beside
it. Whoever wants to know what a run does reads one folder.
"""
