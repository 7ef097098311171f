"""What all tests share: one thread a worker, the real and the demonstration data, the browser rule."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Two workers with two threads each on two cores are slower than with one, and sums of floats then depend
# on the machine. This must happen before numpy is imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Each of hundreds of processes would compile the whole package.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return HERE.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """The small real data files; their sources and licences stand in its README."""
    return HERE / "data"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demonstration study's data (crisis-peak world), made once a worker. Read only."""
    from impact.data import synthetic

    folder = tmp_path_factory.mktemp("demonstration") / "demo"
    synthetic.make(folder, people=1200)
    return folder


@pytest.fixture(scope="session")
def demo_project(tmp_path_factory: pytest.TempPathFactory, demo: Path, root: Path) -> Path:
    """The demonstration's project, run once by the command; its reports are read only."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "params").mkdir()
    (folder / "params/demo.yaml").write_text((root / "params/demo.yaml").read_text())
    (folder / "data").symlink_to(demo)
    command = [sys.executable, "-c", "from impact.cli import main; main()", "run", "params/demo.yaml"]
    env = {k: v for k, v in os.environ.items() if k != "IMPACT_ROOT"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return folder


# Before pytest-xdist reads the groups, as it does in a hook of the same name.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    """Keep on one worker what is dear to make twice: the demonstration's report, a browser, a file's people.

    The notebooks stay together too, since kernels of two workers could pick the same port.
    """
    for item in items:
        fixtures = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
        if (group := item.get_closest_marker("xdist_group")) is None:
            if HERE / "notebooks" in item.path.parents or "demo_project" in fixtures:
                group = pytest.mark.xdist_group("kernels")
            elif item.get_closest_marker("browser"):
                group = pytest.mark.xdist_group("browser")
            elif any(one.scope == "module" for found in fixtures.values() for one in found):
                group = pytest.mark.xdist_group(str(item.path.relative_to(HERE)))
            else:
                continue
            item.add_marker(group)
        # pytest-xdist 3.8 looks for the group at the end of an item's name, and with pytest 9.2 does not
        # write it there (issue 1386 of pytest-xdist): all groups would be forgotten without a word.
        if hasattr(item, "_id") and config.getoption("loadgroup", default=False):
            item._id = type(item._id).parse(f"{item.nodeid}@{group.args[0]}")


class BrowserRule:
    """Fails a run in which no browser test passed, where IMPACT_REQUIRE_BROWSER says that some must."""

    passed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed += report.when == "call" and report.passed and "browser" in report.keywords

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.passed:
            terminalreporter.write_line(
                "IMPACT_REQUIRE_BROWSER is set, but no browser test passed.", red=True
            )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self.passed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    whole = not config.args or set(config.args) == set(config.getini("testpaths"))
    if os.environ.get("IMPACT_REQUIRE_BROWSER") and whole and not hasattr(config, "workerinput"):
        config.pluginmanager.register(BrowserRule())
