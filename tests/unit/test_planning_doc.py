"""What docs/planning.md says is so: its commands say what is quoted below them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from impact.cli import app
from impact.errors import DesignError
from impact.interpret.planning import FEWEST

TEXT = (Path(__file__).parents[2] / "docs/planning.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```bash\nimpact (plan .*)\n```\n\n((?:> .*\n)+)", TEXT)


@pytest.mark.parametrize(("command", "quoted"), EXAMPLES)
def test_a_command_says_what_is_quoted(
    command: str,
    quoted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("IMPACT_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    try:
        app(shlex.split(command), standalone_mode=False)
        said = capsys.readouterr().out
    except DesignError as refused:
        said = str(refused)
    expected = [line.removeprefix("> ") for line in quoted.splitlines()]
    assert said.splitlines()[: len(expected)] == expected


def test_what_it_names_is_there() -> None:
    assert len(EXAMPLES) == 4
    options = {o for p in typer.main.get_command(app).commands["plan"].params for o in p.opts}  # type: ignore[attr-defined]
    assert set(re.findall(r"--[a-z-]+[a-z]", TEXT)) <= options
    assert f"fewer than {FEWEST['people']} people or {FEWEST['buildings']} buildings an arm" in TEXT
