"""A package fetches its public names when they are used; a module does not hide the function of its name."""

import subprocess
import sys

import pytest

import impact.did
import impact.did.twfe
import impact.interpret
import impact.match


@pytest.mark.parametrize("package", [impact.did, impact.match, impact.interpret])
def test_every_public_name_is_there_and_no_module(package):
    for name in package.__all__:
        assert name in dir(package)
        assert not isinstance(getattr(package, name), type(sys))
    with pytest.raises(AttributeError, match="has no attribute 'no_such'"):
        _ = package.no_such


def test_a_module_does_not_take_the_place_of_its_function():
    assert impact.did.twfe is impact.did.ESTIMATORS["twfe"]


def test_a_check_does_not_wait_for_what_estimates():
    code = "import sys, impact.cli.rehearsal; sys.exit(bool({'scipy', 'impact.did.twfe'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
