"""The Math task app: one problem an episode, one answer a call. The task itself is in `task.py`."""
