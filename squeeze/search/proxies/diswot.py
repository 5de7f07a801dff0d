"""DisWOT (Dong et al. 2023): how alike untrained student and teacher see classes and samples; 0 is best.

Semantic: the gradient of the classifier's weights, G = (1/b) sum (q - onehot) x embedding, needs no backward pass.
Teacher and student are compared by the class-by-class products G G^T, because their widths differ. Probabilities are
softened with temperature 4, that of the distillation: at 1 the gradient of a trained teacher holds only its mistakes.
Relation: the sample-by-sample products of the feature maps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from squeeze.search.panel import two_columns
from squeeze.search.untouched import untouched

if TYPE_CHECKING:
    from torch import Tensor

    from squeeze.search.panel import Panel
    from squeeze.students import Student

TEMPERATURE = 4.0
_EPSILON = 1e-12


def score(student: Student, panel: Panel) -> float:
    """Semantic plus relation similarity, in [-4 - 4 / b, 0]. Without classes, or a teacher embedding, relation only."""
    with untouched(student, training=True), torch.no_grad(), half_precision():
        features = student.features(panel.x).float()
    with torch.no_grad():
        embedding = student.embed(features)
        logits = two_columns(student.classifier(embedding))
    teacher = panel.teacher
    if "feature_map" in teacher.taps:
        total = relation(teacher.taps["feature_map"], features)
    else:
        total = relation(teacher.taps.get("embedding", teacher.logits), embedding)
    if panel.y is not None and "embedding" in teacher.taps:
        ours = gradient(logits, embedding, panel.y)
        total += semantic(gradient(teacher.logits, teacher.taps["embedding"], panel.y), ours)
    return float(total)


def half_precision() -> torch.autocast:
    """bfloat16 where the CPU multiplies matrices in it: three times the speed, far below the noise of the weights."""
    fast = bool(torch.cpu.get_capabilities().get("amx_bf16"))
    return torch.autocast("cpu", torch.bfloat16, enabled=fast)


def gradient(logits: Tensor, embedding: Tensor, y: Tensor) -> Tensor:
    """Gradient of cross-entropy by the classifier's weights, the rows of classes in `y` only: [k, d].

    logits: [b, c]; embedding: [b, d]; y: [b].
    """
    q = functional.softmax(logits / TEMPERATURE, dim=1)
    error = q - functional.one_hot(y, logits.shape[1])
    return (error.T @ embedding / len(y))[torch.unique(y)]


def semantic(teacher: Tensor, student: Tensor) -> Tensor:
    """-(1/k) ||M_T - M_S||^2 of the gradients [k, d_T] and [k, d_S]."""
    return -(_products(teacher) - _products(student)).square().sum() / len(teacher)


def relation(teacher: Tensor, student: Tensor) -> Tensor:
    """-(1/b^2) ||K_T - K_S||^2 of the features [b, ...]."""
    difference = _products(teacher.flatten(1)) - _products(student.flatten(1))
    return -difference.square().sum() / len(teacher) ** 2


def _products(rows: Tensor) -> Tensor:
    gram = rows @ rows.T
    return functional.normalize(gram, dim=1, eps=_EPSILON)
