"""What of HTML may stand on a page: a few tags and attributes, and no path of a machine."""

from __future__ import annotations

import re

import bleach  # type: ignore[import-untyped]  # it has no type hints

_TAGS = frozenset(
    re.findall(
        r"\w+",
        "a abbr aside b blockquote br caption code dd details div dl dt em figcaption figure h1 h2 h3 h4 h5 "
        "h6 hr i img li ol p pre section span strong sub summary sup table tbody td th thead tr ul",
    )
)
_ATTRIBUTES = {
    "*": ["class", "id", "lang", "aria-label", "aria-hidden", "role", "tabindex", "title"],
    "details": ["open"],
    "img": ["alt", "width", "height"],
    "td": ["colspan"],
    "th": ["scope", "colspan"],
}
# A path that starts at the root of a machine. Relative links are kept: they are how pages find one another.
_PATH = re.compile(
    r"""file:/+[^\s"'<>]*|(?<![\w/+=<:.])/(?:[\w.@-]+/)+[\w.@-]*|(?<!\w)[A-Za-z]:\\[^\s"'<>]*"""
)


def clean(text: str) -> str:
    """Keep the few tags and attributes a page needs; a script, a style, a remote image or a path goes."""

    def attributes(tag: str, name: str, value: str) -> bool:
        if tag == "a" and name == "href":
            return not value.lower().startswith(("data:", "file:", "/", "javascript:"))
        if tag == "img" and name == "src":
            return value.startswith("data:image/png;base64,")
        return name in _ATTRIBUTES["*"] or name in _ATTRIBUTES.get(tag, ())

    text = bleach.clean(
        text, tags=_TAGS, attributes=attributes, protocols={"http", "https", "mailto", "data"}
    )
    text = re.sub(r"<img(?![^>]*\ssrc=)[^>]*>", "", text)
    text = re.sub(r'(href="[^":#?]+)\.ipynb(?=["#])', r"\1.html", text)
    text = re.sub(r"<th(?=>| class)(?![^>]*scope)", '<th scope="col"', text)
    return _PATH.sub("[path removed]", text)
