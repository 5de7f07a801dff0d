"""What is lost is NumPy's number on the split that is named; the choosing steps never see the evaluate split."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from squeeze import steps
from squeeze.steps.judging import report_on
from tests.steps.conftest import Loaded, a_recipe


def test_drop_and_agreement_are_numpys_and_the_interval_holds_the_value(loaded: Loaded) -> None:
    run, case, device = loaded.run, loaded.case, loaded.device
    recipe = a_recipe()
    front = steps.front(run, case, device, recipe.goal)
    front.add(*steps.deploy(run, case, device, case.net, recipe.quant, slower=True))
    measurements, found = report_on(run, case, device, front)
    float_file = front.candidates["kept-float"].file
    session = ort.InferenceSession(str(float_file), providers=["CPUExecutionProvider"])
    feed = {n: np.asarray(array[:]) for n, array in case.data.evaluate.arrays.items()}
    (kinds,) = session.run(["kinds"], feed)
    same = 100 * float((kinds.argmax(1) == case.reference("evaluate")["kinds"].argmax(1)).mean())
    score = next(o for o in measurements["kept-float"].outputs if o.output == "kinds")
    if score.metric == "agreement":
        assert score.value == pytest.approx(same)
        assert found["kept-float"]["drops"]["kinds"] == pytest.approx(100 - same)
    for one in measurements["kept-int8"].outputs:
        if one.interval is not None:
            assert one.interval[0] <= one.value <= one.interval[1]
    assert found["kept-int8"]["drop"] == max(found["kept-int8"]["drops"].values())


def test_what_chooses_is_given_no_sample_of_the_evaluate_split(loaded: Loaded) -> None:
    blind = loaded.case.blind()
    assert len(blind.data.evaluate) == 0
    assert len(blind.data.calibrate) == len(loaded.case.data.calibrate) > 0
