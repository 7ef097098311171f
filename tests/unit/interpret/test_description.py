from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from impact.data.panel import Panel
from impact.errors import DataError
from impact.interpret import baseline, rates


def cohort(n=40):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"age": rng.normal(70, 8, n), "sex": rng.choice(["f", "m", None], n), "treated": np.arange(n) < 15}
    )
    return SimpleNamespace(table=table, treated=table["treated"].to_numpy())


def test_every_person_stands_in_one_category_of_each_covariate():
    table = baseline(cohort(), covariates=["sex", "age"]).table
    sex = table[table["covariate"] == "sex"]
    assert sex["supported_persons"].sum() == 15
    assert sex["control_persons"].sum() == 25
    assert "missing" in sex["level"].tolist()
    assert sex["control_percent"].sum() == pytest.approx(100)


def test_a_number_is_described_by_mean_and_standard_deviation():
    c = cohort()
    row = baseline(c, covariates=["age"]).table.query("covariate == 'age'").iloc[0]
    assert row["supported_mean"] == pytest.approx(c.table.loc[c.treated, "age"].mean())
    assert row["control_sd"] == pytest.approx(c.table.loc[~c.treated, "age"].std())


def test_an_unknown_covariate_names_the_nearest():
    with pytest.raises(DataError, match=r"'agee' is not a column of the cohort\. Did you mean 'age'"):
        baseline(cohort(), covariates=["agee"])


def test_rates_leave_out_time_not_at_risk():
    frame = pd.DataFrame(
        {
            "id": [1, 1, 2, 2, 3, 3],
            "t": [1, 2] * 3,
            "ae": [4, 1, 2, 0, 1, 1],
            "time": [1.0, 0.5, 1, 0, 1, 1],
            "start": [2, 2, np.nan, np.nan, np.nan, np.nan],
        }
    )
    panel = Panel.from_long(
        frame, unit="id", period="t", outcomes=["ae"], exposure="time", first_treated="start"
    )
    table = rates(panel, outcome="ae").table.set_index(["arm", "period"])
    assert table.loc[("control", 2), "persons"] == 1
    assert table.loc[("control", 2), "rate_per_1000_person_months"] == 1000
    assert table.loc[("supported", 2), "rate_per_1000_person_months"] == 2000


def test_coarser_rates_pool_events_and_time():
    frame = pd.DataFrame({"id": np.repeat([1, 2], 4), "t": [1, 2, 3, 4] * 2, "ae": range(8), "start": 9})
    frame.loc[:3, "start"] = 3
    panel = Panel.from_long(frame, unit="id", period="t", outcomes=["ae"], first_treated="start")
    pooled = rates(panel, outcome="ae").coarsen([0, 0, 1, 1]).table.query("arm == 'supported'")
    assert pooled["events"].tolist() == [1, 5]
    assert pooled["step"].tolist() == [2, 2]
    assert pooled["rate_per_1000_person_months"].tolist() == [500, 2500]
