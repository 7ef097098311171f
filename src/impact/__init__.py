"""Did housing health support reduce use of NHS services, by how much, and how sure are we?

Every name below is fetched when it is first used, so that ``import impact`` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impact import did, disclosure, interpret, match, pages
    from impact.data import Cohort, Panel, read, read_cohort, read_panel
    from impact.pages import plots, show, tables
    from impact.study import Study

__all__ = [
    "Cohort",
    "Panel",
    "Study",
    "did",
    "disclosure",
    "interpret",
    "match",
    "pages",
    "plots",
    "read",
    "read_cohort",
    "read_panel",
    "show",
    "tables",
]

_HOMES = {
    **dict.fromkeys(("Cohort", "Panel", "read", "read_cohort", "read_panel"), "impact.data"),
    **dict.fromkeys(("plots", "show", "tables"), "impact.pages"),
    "Study": "impact.study",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "__version__":
        from importlib.metadata import version

        return version("impact")
    if name not in __all__:
        raise AttributeError(f"module 'impact' has no attribute {name!r}")
    home = import_module(_HOMES[name]) if name in _HOMES else None
    # A floor such as impact.did is itself what was asked for; plots and tables are modules of pages.
    if home is not None and hasattr(home, name):
        return getattr(home, name)
    return import_module(f"{home.__name__ if home else 'impact'}.{name}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
