"""What becomes of a notebook whose process does not even start."""

import papermill
import pytest

from impact.errors import RunError
from impact.run.engine import execute
from impact.run.job import Limits
from impact.run.plan import _notebook
from impact.run.watch import Watch
from impact.study import Study


def test_a_process_that_never_answers_is_said_in_words(monkeypatch, tmp_path):
    def dies(*_, **__):
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(papermill, "execute_notebook", dies)
    study = Study(
        data={"people": "people.csv", "contacts": "contacts.csv"},
        design={"treated": ["a"], "control": ["b"]},
        outcomes=["ae"],
        matching={"on": ["age"]},
    )
    more = {"records": tmp_path, "tell": lambda _: None, "watch": Watch(Limits())}
    with pytest.raises(RunError, match=r"^cohort: the notebook's process died"):
        execute(_notebook("cohort"), study, tmp_path, **more)
