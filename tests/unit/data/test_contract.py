"""The contract says the same to the checks, the documentation and the data."""

from __future__ import annotations

import json

from impact.data import contract
from impact.data.rules import RULES


def test_every_rule_belongs_to_a_column_of_its_table():
    for rule in RULES:
        assert rule.column in contract.TABLES[rule.table].names, rule
        assert rule.sentence
        assert rule.action
    keys = [(r.table, r.column, r.name) for r in RULES]
    assert len(keys) == len(set(keys))


def test_the_checks_asked_for_are_there():
    names = {(r.table, r.name) for r in RULES}
    people = "duplicate|unknown arm|NHS number|e-mail|name|start before offer|no consent|opted out|not linked"
    contacts = "before birth|after death|end before start|outside coverage|overlapping stays|duplicate record"
    wanted = {
        "people": f"{people}|supported control|small arm|no contacts|start outside tenancy",
        "contacts": f"{contacts}|same-day contacts|heaped dates|few events|unknown person",
        "coverage": "end before start|no coverage",
    }
    assert {(table, name) for table, rules in wanted.items() for name in rules.split("|")} <= names


def test_schema_is_plain_data_and_markdown_names_every_column():
    schema = json.loads(json.dumps(contract.schema()))
    page = contract.markdown()
    for name, table in contract.TABLES.items():
        assert [c["name"] for c in schema[name]["columns"]] == table.names
        assert f"## {name}" in page
        for column in table.names:
            assert f"| `{column}` |" in page
    assert "prior_gp" in page
    assert "left out and counted; above 1% of rows the study stops" in page
