"""What is lost is NumPy's number on the split that is named; the choosing steps never see the evaluate split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest

from squeeze import measure, steps
from squeeze.steps.judging import evaluated_as, report_on
from tests.steps.conftest import Loaded, a_recipe


def test_drop_and_agreement_are_numpys_and_the_interval_holds_the_value(loaded: Loaded) -> None:
    run, case, device = loaded.run, loaded.case, loaded.device
    recipe = a_recipe()
    front = steps.front(run, case, device, recipe.goal)
    front.add(*steps.deploy(run, case, device, case.net, recipe.quant, slower=True))
    measurements, evaluated = report_on(run, case, device, front, front.pick())
    found = evaluated.result["candidates"]
    # Of the teacher that output is shown which is judged of the pick.
    beside, picked = measurements["teacher"], measurements[front.pick().name]
    worst = int(np.argmax(found[front.pick().name]["drops"]))
    assert (picked.metric_name, picked.metric) == (
        picked.outputs[worst].metric,
        picked.outputs[worst].value,
    )
    assert (beside.metric_name, beside.metric) == (
        beside.outputs[worst].metric,
        beside.outputs[worst].value,
    )
    float_file = front.candidates["kept-float"].file
    session = ort.InferenceSession(str(float_file), providers=["CPUExecutionProvider"])
    feed = {n: np.asarray(array[:]) for n, array in case.data.evaluate.arrays.items()}
    (kinds,) = session.run(["kinds"], feed)
    same = 100 * float((kinds.argmax(1) == case.reference("evaluate")["kinds"].argmax(1)).mean())
    score = next(o for o in measurements["kept-float"].outputs if o.output == "kinds")
    assert score.metric == "agreement"
    assert score.value == pytest.approx(same)
    place = [reading.output for reading in case.readings].index("kinds")
    assert found["kept-float"]["drops"][place] == pytest.approx(100 - same)
    for one in measurements["kept-int8"].outputs:
        assert one.interval is not None
        assert one.interval[0] <= one.value <= one.interval[1]
    assert found["kept-int8"]["drop"] == max(found["kept-int8"]["drops"])


def test_what_chooses_is_the_same_whatever_the_evaluate_split_holds(loaded: Loaded) -> None:
    run, case, device = loaded.run, loaded.case, loaded.device
    other = replace(case, data=replace(case.data, evaluate=case.data.fit))
    recipe = a_recipe()
    for one in (case, other):
        front = steps.front(run, one, device, recipe.goal)
        front.add(*steps.deploy(run, one, device, one.net, recipe.quant, slower=True))
    assert [entry["status"] for entry in run.log if entry["name"] == "keep"] == ["done", "reused"]


def test_outputs_of_a_quantised_candidate_are_kept_for_who_asks_later(loaded: Loaded) -> None:
    run, case, device = loaded.run, loaded.case, loaded.device
    recipe = a_recipe()
    front = steps.front(run, case, device, recipe.goal)
    front.add(*steps.deploy(run, case, device, case.net, recipe.quant, slower=True))
    _, step = report_on(run, case, device, front, front.pick())
    int8 = front.candidates["kept-int8"]
    known = evaluated_as(step, int8, case)
    again = measure.evaluate(
        int8.file,
        case.data,
        case.data.evaluate,
        case.readings,
        interface=case.interface,
        reference=case.reference("evaluate"),
    )
    assert known.scores == again.scores
    for name, outputs in again.outputs.items():
        np.testing.assert_array_equal(known.outputs[name], outputs)
