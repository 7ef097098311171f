"""Time a task in a process of its own, after a small run of it, and say what it took as one line of JSON."""

from __future__ import annotations

import contextlib
import gc
import json
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Answers = dict[str, tuple[float, float]]
Task = Callable[[Any, list[float]], Answers]


@contextlib.contextmanager
def timed(spent: list[float]) -> Iterator[None]:
    """Add the seconds this takes."""
    began = time.perf_counter()
    yield
    spent.append(time.perf_counter() - began)


def main(tasks: Mapping[str, Task], load: Callable[[Path], Any]) -> None:
    """Do the task named by the arguments on the small file, then on the other, and print what it took."""
    name, small, people = sys.argv[1:]
    warnings.simplefilter("ignore")
    # What a package prints must not be mistaken for the measurement.
    with contextlib.redirect_stdout(sys.stderr):
        tasks[name](load(Path(small)), [])
        gc.collect()
        spent: list[float] = []
        answers = tasks[name](load(Path(people)), spent)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    finite = {key: [float(v) for v in value] for key, value in answers.items()}
    print(json.dumps({"seconds": sum(spent), "bytes": peak, "answers": finite}))
