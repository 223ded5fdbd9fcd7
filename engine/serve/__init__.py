"""An OpenAI-compatible server for checkpoints: `python -m engine.serve`.

`batch.py` decodes many requests together, `worker.py` is the thread that does it for one model,
`models.py` holds the loaded models, `replies.py` speaks OpenAI's JSON, `app.py` is HTTP.
"""
