"""Running one notebook by papermill, with a kernel of this very Python and nothing on the terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import papermill
import zmq
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from impact import errors, processes
from impact.errors import ImpactError, RunError
from impact.pages.signed import refuse_unsigned, secret
from impact.run.watch import Watch
from impact.study import Study, project_root


class Specs(KernelSpecManager):
    """The kernel of the running Python, started warm, whatever others are installed under the same name."""

    def __init__(self, **more: Any) -> None:
        super().__init__(kernel_dirs=[], **more)

    def get_kernel_spec(self, kernel_name: str) -> Any:
        """Return the kernel's description; called by jupyter_client."""
        spec = super().get_kernel_spec(kernel_name)
        spec.metadata["kernel_provisioner"] = {"provisioner_name": "impact-warm"}
        return spec


class Kernel(AsyncKernelManager):
    """A kernel of the running Python.

    What passes between it and the run may be people's data, so it is encrypted where this can be done.
    """

    def _kernel_spec_manager_default(self) -> Any:
        return Specs()

    def _transport_encryption_default(self) -> str:
        return "auto" if zmq.has("curve") else "disabled"

    def _transport_default(self) -> str:
        # Two processes that look for a free port at once may find the same; their own numbers differ.
        return "ipc" if processes.server(wait=False) else "tcp"

    def _connection_file_default(self) -> str:
        # Such files lie in a folder that goes with the server; their names must be short.
        address = processes.server(wait=False)
        return str(Path(address).with_name(f"{os.getpid()}.json")) if address else ""


class Engine(NBClientEngine):  # type: ignore[misc]  # papermill is untyped
    """papermill's own engine, which also reports each cell and sends the kernel's noise to a file."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        """Execute the cells; called by papermill."""
        tell, completed = options["tell"], nb_man.cell_complete

        def cell_complete(cell: Any, cell_index: int = 0, **more: Any) -> None:
            completed(cell, cell_index=cell_index, **more)
            tell({"at": "cell", "done": cell_index + 1})

        nb_man.cell_complete = cell_complete
        client: Any = PapermillNotebookClient(
            nb_man,
            kernel_name=kernel_name,
            kernel_manager_class=Kernel,
            resources={"metadata": {"path": str(project_root())}},
            startup_timeout=options["start_timeout"],
            timeout=None,
            log=logging.getLogger("papermill"),
            on_notebook_start=lambda **_: options["watch"].over(client.km.provisioner.pid),
        )
        env = {**processes.ONE_THREAD, **os.environ, **options["records"]}
        # papermill writes the whole notebook before and after each cell; nobody reads it before the end.
        place, nb_man.output_path = nb_man.output_path, None
        try:
            return client.execute(stdout=sys.stderr, stderr=sys.stderr, env=env)
        finally:
            nb_man.output_path = place


papermill_engines.register("impact", Engine)


def execute(
    notebook: Path,
    study: Study,
    folder: Path,
    *,
    records: Path,
    tell: Callable[[dict[str, Any]], None],
    watch: Watch,
) -> Any:
    """Execute a notebook with a study's sections, write it into a folder and return it.

    What it shows is recorded in the folder ``records``, and compared with what the reports beside it showed.

    Raises
    ------
    ImpactError
        The user's mistake, in the words of the function that raised it; ``RunError`` for any other; or
        ``DisclosureError`` where an output says that it was released and ``show`` did not make it.
    """
    name = notebook.stem
    # The kernel signs with it, so it must be there before.
    secret()
    cells = len(papermill.iorw.load_notebook_node(str(notebook)).cells) + 1
    tell({"at": "notebook", "notebook": name, "cells": cells})
    try:
        executed = papermill.execute_notebook(
            notebook,
            folder / f"{name}.ipynb",
            parameters=study.parameters,
            engine_name="impact",
            kernel_name="python3",
            language="python",
            progress_bar=False,
            tell=tell,
            watch=watch,
            records={"IMPACT_RECORDS": str(records), "IMPACT_SENT": str(records.parent)},
        )
    except PapermillExecutionError as error:
        raise _ours(error, name) from KernelError(error.traceback)
    except (RuntimeError, CellTimeoutError) as error:
        # So nbclient says that the process died in a cell, and jupyter_client that it never answered.
        why = watch.reason and f"was stopped, because {watch.reason}"
        why = why or "died, most often because memory ran out"
        raise RunError(
            f"{name}: the notebook's process {why}; "
            "close other programs, or take a shorter window or fewer people."
        ) from error
    refuse_unsigned(executed, f"{name}, ")
    tell({"at": "done", "notebook": name})
    return executed


class KernelError(Exception):
    """What the kernel printed when a cell stopped."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.traceback_text = _plain(lines)


def _ours(error: Any, notebook: str) -> ImpactError:
    """Return the user's mistake as a function of ours raised it; anything else becomes a ``RunError``."""
    kind = getattr(errors, error.ename, None)
    frames = re.findall(r"^(?:File (.+?):\d+, in|Cell In)", _plain(error.traceback), re.MULTILINE)
    place = Path(frames[-1] if frames else "").expanduser()
    ours = isinstance(kind, type) and issubclass(kind, ImpactError)
    if ours and place.is_relative_to(Path(errors.__file__).parent):
        return cast("type[ImpactError]", kind)(error.evalue)
    # The text of another error, also of our kind but raised in a cell, may hold a person's value.
    number = re.match(r"\[Errno (\d{1,3})\]", error.evalue)
    why = f" ({os.strerror(int(number[1]))})" if number else ""
    return RunError(f"{notebook}: cell {error.exec_count} stopped with {error.ename}{why}.")


def _plain(traceback: list[str]) -> str:
    """Return the kernel's traceback as text without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(traceback)) + "\n"


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Send what libraries print, warn and log to a file while a study runs."""
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    with log.open("a", encoding="utf-8") as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
        root.handlers = [handler]
        try:
            with contextlib.redirect_stderr(file), warnings.catch_warnings():
                warnings.simplefilter("default")
                yield
        finally:
            root.handlers = before
