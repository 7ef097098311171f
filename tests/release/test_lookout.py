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
    people["Family name"] = ["Okonkwo-Hughes"] + ["of ours"] * 19
    people["Date of birth"] = ["1951-05-14"] * 20
    people["remark"] = [f"likes tea with {word}" for word in "abcdefghijklmnop"] + [
        *("no change", "NO ANSWER", "Ifor ap Glyn", "Siân O'Dowd")
    ]
    people["area"] = ["Quiet Corner"] * 2 + ["Green Lane"] * 18
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
        ("a.html", "<p>Okonkwo Hughes</p>", "'Family name' of people"),
        ("a.html", "<p>since 14/05/1951</p>", "'Date of birth' of people"),
        ("a.html", "<p>Who likes tea with (K)?</p>", "'remark' of people"),
        ("a.html", "<p>Siân O’Dowd</p>", "'remark' of people"),
    ],
)
def test_a_name_of_the_data_stops_the_report(
    tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch, name: str, text: str, column: str
) -> None:
    monkeypatch.setenv("IMPACT_CACHE", str(tmp_path))
    (tmp_path / "share" / name).write_text(text)
    # The second time the names are those that were kept.
    for _ in range(2):
        with pytest.raises(DisclosureError) as caught:
            refuse_names(study, tmp_path / "share")
        assert f"{name}: holds a value of the column {column}." in str(caught.value).splitlines()
        words = str(caught.value).replace(name, "").lower()
        assert not any(
            value in words for value in ("t007", "oak", "ann", "123456789", "march", "hughes", "tea", "siân")
        )
    assert [*tmp_path.glob("impact-kept/*/tables-*.duckdb")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", "<p>Large Court has eight tenants; Control is a word; tenure unknown; in March 2024</p>"),
        ("a.csv", "arm,persons\nunknown,20\nLarge Court,8\n"),
        ("a.html", "<p>Many live in Quiet Corner, and like tea.</p>"),
        ("a.csv", "answer\nno change\nNo answer\n"),
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


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("<p>unit ab-12</p>", "'code' of panel"),
        ("<p>Elm Tree Cottage</p>", "'Address' of panel"),
        ("<p>15 visits in practice 7 of the north</p>", None),
    ],
)
def test_a_ready_made_panel_is_searched_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, column: str | None
) -> None:
    monkeypatch.setenv("IMPACT_ROOT", str(tmp_path))
    panel = pd.DataFrame({"code": ["AB-12", "AB-13"], "Address": ["Elm Tree Cottage", "Oak Hill"], "year": 1})
    panel.assign(visits=15, practice="north").to_csv(tmp_path / "panel.csv", index=False)
    given = {"file": "panel.csv", "unit": "person", "period": "year", "outcomes": ["visits"]}
    study = Study(
        data={"panel": {**given, "arm": "practice", "rename": {"person": "code"}}},
        design={"treated": ["north"], "control": ["south"], "months_before": 0},
        outcomes=["visits"],
        matching={"on": ["age"]},
    )
    (tmp_path / "share").mkdir()
    (tmp_path / "share/a.html").write_text(text)
    if column is None:
        refuse_names(study, tmp_path / "share")
        return
    with pytest.raises(DisclosureError) as caught:
        refuse_names(study, tmp_path / "share")
    assert str(caught.value) == f"a.html: holds a value of the column {column}."


@pytest.mark.parametrize("name", ["people.parquet", "notes.txt", "a.png", "alone.pdf", "a.HTML"])
def test_a_file_that_cannot_be_searched_stops_the_report(tmp_path: Path, study: Study, name: str) -> None:
    (tmp_path / "share/findings.html").write_text("<p>Fewer.</p>")
    (tmp_path / "share/findings.pdf").write_bytes(b"%PDF-1.4")
    refuse_names(study, tmp_path / "share")
    (tmp_path / "share" / name).write_bytes(b"T007")
    with pytest.raises(DisclosureError, match=f"^{name}: this kind of file cannot be searched"):
        refuse_names(study, tmp_path / "share")
