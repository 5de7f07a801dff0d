"""QuantizeLinear and DequantizeLinear, which mostly write nothing: they say which integers a value is in."""

from __future__ import annotations

from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Params
from squeeze.tflite.writing import Writing

_ALLOWED = (
    "TFLite has int8 with one scale for activations; quantise it for a target with int8 activations"
)


def quantize_linear(w: Writing, node: Node) -> None:
    params = _params(w, node)
    x = node.inputs[0]
    forms = w.forms.get(x, [])
    if not any(form.params == params for form in forms) and forms:
        coded = next((form for form in forms if form.params is not None), forms[0])
        w.coded(x, coded, params)
    w.alias(node.outputs[0], [form for form in w.forms.get(x, []) if form.params == params])


def dequantize_linear(w: Writing, node: Node) -> None:
    params = _params(w, node)
    forms = [form for form in w.forms.get(node.inputs[0], []) if form.params == params]
    if not forms:
        raise w.refused(
            "its scale or zero point is another than that of the integers that it is given"
        )
    w.alias(node.outputs[0], forms)


def _params(w: Writing, node: Node) -> Params:
    params = w.said_params(node)
    if params is None:
        raise w.refused(f"its integers are of another kind. {_ALLOWED}")
    return params
