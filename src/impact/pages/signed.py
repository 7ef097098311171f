"""The signature of an output: ``impact.show`` made it for this user, and nothing in it was changed since.

A page takes from a notebook the outputs that carry the mark of a released result. Anybody can write that mark
into an output, so it counts only with a signature, made with the secret by which Jupyter itself knows which
notebooks its user ran on this computer (``notebook_secret`` in Jupyter's data folder; never in a project).

It keeps a cell from putting an unreleased table on a page by accident or carelessness, and a page from being
made of an executed notebook that was altered, or that somebody sent. It does not keep out a user who means
harm: whoever can run a notebook can read the secret, and holds the data anyway.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_data_dir

from impact.errors import DisclosureError, RunError, together

MIME = "application/vnd.impact+json"
_SIGNATURE = "signature"


def signed(data: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of an output, with the signature of all that a page takes from it.

    Parameters
    ----------
    data : mapping of MIME type to content
        Of the output; released results lie under ``MIME``.
    said : mapping
        Its role on the page, and words that the index takes from it.

    Examples
    --------
    >>> output = {MIME: [], "text/html": "<p>Fewer.</p>"}
    >>> said = signed(output, {"role": "headline"})
    >>> signed(output, said) == said, signed({**output, "text/html": "<p>None.</p>"}, said) == said
    (True, False)
    """
    said = {key: value for key, value in said.items() if key != _SIGNATURE}
    # JupyterLab writes 1.0 as 1 and -0.0 as 0 when it saves a notebook.
    plain = json.loads(
        json.dumps([data.get(MIME), data.get("text/html"), said]), parse_int=_number, parse_float=_number
    )
    text = json.dumps(plain, sort_keys=True)
    return {**said, _SIGNATURE: hmac.new(secret(), text.encode(), "sha256").hexdigest()}


def _number(text: str) -> float:
    return float(text) + 0.0


def refuse_unsigned(notebook: Any, place: str = "") -> None:
    """Stop at outputs with the mark of a released result that ``impact.show`` did not make here.

    Parameters
    ----------
    notebook : NotebookNode
    place : str
        What stands before the number of a cell in the message.

    Raises
    ------
    DisclosureError
        All cells with such an output together, by their place in the notebook.
    """
    problems = []
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            data, said = output.get("data", {}), output.get("metadata", {}).get(MIME) or {}
            if MIME in data and signed(data, said)[_SIGNATURE] != said.get(_SIGNATURE):
                problems.append(
                    f"{place}cell {number} has an output that is marked as released, and impact.show did not "
                    "make it here, or it was changed since: show what was released by impact.show, and run "
                    "the notebook on this computer."
                )
    if problems:
        raise DisclosureError(together(list(dict.fromkeys(problems))))


def secret() -> bytes:
    """Return the secret with which Jupyter signs this user's notebooks; Jupyter makes it if it is missing.

    Raises
    ------
    RunError
        If Jupyter's data folder cannot be written or read.
    """
    file = Path(jupyter_data_dir()) / "notebook_secret"
    try:
        if file.is_file():
            return file.read_bytes()
        # It takes a second to import, and this happens once on a computer.
        from nbformat.sign import MemorySignatureStore, NotebookNotary

        file.parent.mkdir(parents=True, exist_ok=True)
        return bytes(NotebookNotary(data_dir=str(file.parent), store_factory=MemorySignatureStore).secret)
    except OSError as error:
        raise RunError(
            "Jupyter's data folder cannot be used, and what is shown is signed with the secret in it; set "
            "JUPYTER_DATA_DIR to a folder in which you may write."
        ) from error
