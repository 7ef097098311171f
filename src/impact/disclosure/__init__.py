"""The gate: results -> Released. The only road to a page or a file."""

from impact.disclosure.gate import NOTICE, release
from impact.disclosure.policies import Policy, policies
from impact.disclosure.released import Released

__all__ = ["NOTICE", "Policy", "Released", "policies", "release"]
