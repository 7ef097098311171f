"""The gate: results -> Released. The only road to a page or a file."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from impact.disclosure.policies import NOTICE, Policy, policies

if TYPE_CHECKING:
    from impact.disclosure.gate import release
    from impact.disclosure.released import Released

__all__ = ["NOTICE", "Policy", "Released", "policies", "release"]

# The gate knows every kind of result, and so all that estimates: it is fetched when something is released.
_HOMES = {"release": "gate", "Released": "released"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'impact.disclosure' has no attribute {name!r}")
    return getattr(import_module(f"impact.disclosure.{_HOMES[name]}"), name)
