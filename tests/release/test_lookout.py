"""The last look at what is to be sent: names of the data are found in any file, whatever was released."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from impact.errors import DisclosureError
from impact.run.lookout import refuse_names
from impact.study import Study


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("IMPACT_ROOT", str(tmp_path))
    people = pd.DataFrame(
        {"Ref": [f"T{i:03}" for i in range(20)], "arm": "a", "died": [None] * 19 + ["2024-03-15"]}
    )
    people["building_id"] = ["Large Court"] * 8 + ["Oak Tree House"] * 7 + ["Control"] * 4 + ["unknown"]
    people["officer_id"] = ["Ann-Marie O'Neill"] * 10 + ["unknown"] * 10
    people.to_csv(tmp_path / "people.csv", index=False)
    pd.DataFrame({"person_id": ["T001"], "record_id": ["123456789"]}).to_csv(
        tmp_path / "contacts.csv", index=False
    )
    (tmp_path / "share").mkdir()
    return Study(
        data={"people": "people.csv", "contacts": "contacts.csv", "rename": {"people": {"person_id": "Ref"}}},
        design={"treated": ["a"], "control": ["b"]},
        outcomes=["ae"],
        matching={"on": ["age"]},
    )


@pytest.mark.parametrize(
    ("name", "text", "column"),
    [
        ("a.html", "<p>and t007, who</p>", "'Ref' of people"),
        ("T007.csv", "arm\na\n", "'Ref' of people"),
        ("a.html", '<img alt="T&#48;07">', "'Ref' of people"),
        ("a.json", '{"note": "Oak Tree\u00a0House"}', "'building_id' of people"),
        ("a.csv", "site,persons\noak-tree house,20\n", "'building_id' of people"),
        ("a.csv", "site,persons\nControl,20\n", "'building_id' of people"),
        ("a.html", "<p>told by Ann\u2011Marie O&#x27;Neill</p>", "'officer_id' of people"),
        ("a.html", "<p>record 123456789</p>", "'record_id' of contacts"),
        ("a.html", "<p>until 15 March 2024</p>", "'died' of people"),
    ],
)
def test_a_name_of_the_data_stops_the_report(
    tmp_path: Path, study: Study, name: str, text: str, column: str
) -> None:
    (tmp_path / "share" / name).write_text(text)
    with pytest.raises(DisclosureError) as caught:
        refuse_names(study, tmp_path / "share")
    assert f"{name}: holds a value of the column {column}." in str(caught.value).splitlines()
    words = str(caught.value).replace(name, "").lower()
    assert not any(value in words for value in ("t007", "oak", "ann", "123456789", "march"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", "<p>Large Court has eight tenants; Control is a word; tenure unknown; in March 2024</p>"),
        ("a.csv", "arm,persons\nunknown,20\nLarge Court,8\n"),
        ("a.html", "<style>.T007{}</style><img src='data:image/png;base64,T007'>"),
        ("a.json", '{"sha256": "aT007b", "value": 0.123456789123}'),
    ],
)
def test_ordinary_words_pass(tmp_path: Path, study: Study, name: str, text: str) -> None:
    (tmp_path / "share" / name).write_text(text)
    refuse_names(study, tmp_path / "share")


def test_how_many_make_a_building_large_is_the_policys(tmp_path: Path, study: Study) -> None:
    (tmp_path / "share" / "a.html").write_text("<p>Large Court</p>")
    stricter = Study(**study.parameters | {"disclosure": {"smallest_shown": 9}})
    with pytest.raises(DisclosureError, match="'building_id' of people"):
        refuse_names(stricter, tmp_path / "share")
