import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from impact import pages
from impact.disclosure import Released
from impact.disclosure.released import SEAL
from impact.errors import DisclosureError
from impact.pages import plots, words
from impact.results import Summary

MIME = "application/vnd.impact+json"


def test_a_table_carries_its_released_result(people: Released) -> None:
    data, _ = pages.show(people)._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html", MIME}
    assert data[MIME] == [json.loads(people.to_json())]
    assert [row["persons"] for row in data[MIME][0]["table"]] == [1235, 50, None]


def test_a_figure_has_alt_text_and_its_numbers_beneath(event_study: Released) -> None:
    shown = pages.show(plots.event_study(event_study))
    assert re.search(r'<img alt="Event study\. A&amp;E attendances, difference[^"]*6 of 6', shown.html)
    assert "<figcaption>" in shown.html
    assert "The numbers in this figure" in shown.html
    assert "<caption>" in shown.html
    image = re.search(r"base64,([^\"]+)", shown.html)
    assert image is not None
    raw = base64.b64decode(image[1])
    drawn = Image.open(io.BytesIO(raw))
    assert drawn.mode == "P"
    assert drawn.width == 1040
    assert len(raw) < 40_000
    assert drawn.info == {} or set(drawn.info) <= {"dpi"}


def test_several_things_are_shown_one_under_the_other(
    effects: Callable[..., Released], people: Released
) -> None:
    released = effects({"ae": (-58.0, 22.0, -0.18, 0.07)})
    shown = pages.show(words.headline(released), people)
    data, metadata = shown._repr_mimebundle_()
    assert [item["name"] for item in data[MIME]] == ["effects", "people"]
    assert metadata[MIME]["role"] == "headline"
    assert metadata[MIME]["text"].startswith("With support there were about 58 fewer")


def test_a_masthead_is_a_line_of_text() -> None:
    shown = pages.masthead("Northtown <b>", "2024")
    assert shown.text == "Northtown <b> · 2024"
    assert "<b>" not in shown.html


@pytest.mark.parametrize(
    "thing",
    [
        pd.DataFrame({"persons": [3]}),
        Summary(pd.DataFrame({"persons": [3]}), {}, people=["persons"]),
        "Mr Smith has been admitted",
        Figure(),
        Figure().subplots(),
        None,
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_nothing_else_is_shown(thing: object) -> None:
    with pytest.raises(DisclosureError, match="not released"):
        pages.show(thing)


def test_remarks_are_a_box_of_text_beside_a_headline(effects: Callable[..., Released]) -> None:
    released = effects({"ae": (-58.0, 22.0, -0.18, 0.07)})
    shown = pages.show(words.headline(released), pages.remarks(["Families are <not> known.", "Second."]))
    assert "<p>Families are &lt;not&gt; known.</p><p>Second.</p></aside>" in shown.html
    assert shown.role["role"] == "headline"
    assert shown.role["remarks"] == "Families are <not> known.\nSecond."
    alone = pages.show(pages.remarks(["Second."]))
    assert alone.role["role"] == "remarks"
    assert alone.sources == ()


def test_no_remarks_show_nothing(effects: Callable[..., Released]) -> None:
    statement = words.headline(effects({"ae": (-58.0, 22.0, -0.18, 0.07)}))
    assert pages.show(statement, pages.remarks([])) == pages.show(statement)
    assert pages.show(pages.remarks([])).html == ""


def test_remarks_hold_no_identifier() -> None:
    with pytest.raises(DisclosureError, match="sentence 2 holds an NHS number"):
        pages.remarks(["Fine.", "Ask 943 476 5919."])


def test_what_a_caption_says_is_not_said_again_under_its_table(event_study: Released) -> None:
    said = "Shown by quarter, because some months had 1 to 7 events."
    shown = pages.show(plots.event_study(replace(event_study, notes=(said,), seal=SEAL)))
    assert shown.html.count(said) == 1
