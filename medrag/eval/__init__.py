"""Honest measurement: tasks, arms, and scores with intervals beside trivial baselines.

`run` puts one arm through one task; every example's answer is kept, so a run that is cut off goes on and two runs can be
compared pairwise afterwards.
"""

from medrag.eval.runner import run
from medrag.eval.tasks import Example, Output, Task, load_task

__all__ = ["Example", "Output", "Task", "load_task", "run"]
