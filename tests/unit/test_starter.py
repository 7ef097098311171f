"""A starter file proposes what the data can answer."""

import pandas as pd

from impact.cli.starter import starter


def test_outcomes_are_the_services_that_coverage_covers(tmp_path, monkeypatch):
    monkeypatch.setenv("IMPACT_ROOT", str(tmp_path))
    days = {"start": ["2024-01-05"] * 3, "end": ["2024-01-06"] * 3}
    tables = {
        "people": {
            "person_id": ["1"],
            "arm": ["a"],
            "first_date": ["2023-01-01"],
            "last_date": ["2024-12-31"],
        },
        "contacts": {"person_id": ["1"] * 3, "service": ["ae", "GP ", "outpatient"], **days},
        "coverage": {
            "service": ["ae", "gp"],
            "first_date": ["2023-01-01"] * 2,
            "last_date": ["2024-12-31"] * 2,
        },
    }
    files = [tmp_path / f"{name}.csv" for name in tables]
    for file, columns in zip(files, tables.values(), strict=True):
        pd.DataFrame(columns).to_csv(file, index=False)
    assert "outcomes: [ae, gp]" in starter(files, title="study")
    assert "outcomes: [ae, gp, outpatient]" in starter(files[:2], title="study")
