"""Crafter: the survival game with 22 achievements, replayable.

`task.py` is the door; `world.py` the rules, `text.py` what a model reads, `guide.py` the teacher.
"""
