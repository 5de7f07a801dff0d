"""Distillation losses, and which one fits a task. What a loss is and says of itself: `loss.Loss`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from squeeze.errors import ConfigError, unknown
from squeeze.losses import (
    acam,
    at,
    bce,
    bdkd,
    bpkd,
    cc,
    cosine,
    crd,
    cwd,
    dist,
    dkd,
    fitnet,
    kd,
    lelp,
    meal,
    mgd,
    mi_alpha,
    mse,
    nd,
    nkd,
    ofa,
    pixel_kd,
    pkt,
    pld,
    pskd,
    rkd,
    sinkd,
    sp,
    ssld,
    taid,
    tgeo,
    trg,
    uskd,
    vid,
)
from squeeze.losses.loss import Loss, Moment, Space, Start
from squeeze.losses.weighted import Share, Weighted
from squeeze.metrics import METRICS, miou
from squeeze.spec import Term

LOSSES: dict[str, type[Loss]] = {
    "acam": acam.ACAM,
    "at": at.AT,
    "bce": bce.BCE,
    "bdkd": bdkd.BDKD,
    "bpkd": bpkd.BPKD,
    "cc": cc.CC,
    "cosine": cosine.Cosine,
    "crd": crd.CRD,
    "cwd": cwd.CWD,
    "dist": dist.DIST,
    "dkd": dkd.DKD,
    "fitnet": fitnet.FitNet,
    "kd": kd.KD,
    "lelp": lelp.LELP,
    "meal": meal.MEAL,
    "mgd": mgd.MGD,
    "mi_alpha": mi_alpha.MIAlpha,
    "mse": mse.MSE,
    "nd": nd.ND,
    "nkd": nkd.NKD,
    "ofa": ofa.OFA,
    "pixel_kd": pixel_kd.PixelKD,
    "pkt": pkt.PKT,
    "pld": pld.PLD,
    "pskd": pskd.PSKD,
    "rkd": rkd.RKD,
    "sinkd": sinkd.SinKD,
    "sp": sp.SP,
    "ssld": ssld.SSLD,
    "taid": taid.TAID,
    "tgeo": tgeo.TGeo,
    "trg": trg.TRG,
    "uskd": uskd.USKD,
    "vid": vid.VID,
}

# What 'auto' takes.
USUAL: dict[Space, str] = {
    "classes": "kd",
    "directions": "cosine",
    "places": "pixel_kd",
    "values": "mse",
    "yes-no": "bce",
}

Wanted = str | Mapping[str, Term]  # the name of a loss, or the terms of a sum

__all__ = [
    "LOSSES",
    "USUAL",
    "Loss",
    "Moment",
    "Space",
    "Start",
    "choose",
    "make",
    "needs",
    "on_logits",
    "refuse",
    "space_of",
    "terms",
]


def choose(
    name: str,
    *,
    outputs: int,
    activation: str,
    metric: str | None,
    classes: int | None,
    valued: bool = False,
) -> str:
    """The key in LOSSES for a name of `distill.loss`; 'auto' takes the usual one of `space_of`. Raises ConfigError."""
    if name == "auto":
        return USUAL[space_of(outputs, activation, metric, classes, valued=valued)]
    refuse(name)
    fewest = LOSSES[name].fewest_outputs
    if outputs < fewest:
        raise ConfigError(
            f"distill.loss: '{name}' needs {fewest} outputs or more, but the teacher has {outputs}; use 'auto'"
        )
    return name


def make(
    wanted: Wanted,
    *,
    temperature: float,
    label_weight: float,
    outputs: int,
    activation: str,
    metric: str | None,
    classes: int | None,
    valued: bool = False,
) -> Loss:
    """The loss that `distill.loss` asks for; temperature and label_weight: of terms that say nothing else.

    Raises ConfigError for what is unknown, does not fit the outputs, or does not go together.
    """
    refuse(wanted)
    usual = USUAL[space_of(outputs, activation, metric, classes, valued=valued)]
    shares = {}
    for name, term in terms(wanted, usual).items():
        choose(name, outputs=outputs, activation=activation, metric=metric, classes=classes)
        options = {"temperature": temperature, "label_weight": label_weight, **term.options}
        try:
            loss = LOSSES[name](**options)
        except ValueError as e:
            raise ConfigError(f"distill.loss: '{name}': {e}") from e
        end = term.weight if term.end_weight is None else term.end_weight
        shares[name] = Share(loss, term.weight, end)
    return _joined(shares)


def terms(wanted: Wanted, usual: str) -> dict[str, Term]:
    """Names in LOSSES, each with its term. 'auto' is `usual`, which also goes beside losses that look at taps alone."""
    if isinstance(wanted, str):
        name = usual if wanted == "auto" else wanted
        found = {name: Term(weight=LOSSES[name].weight)}
    else:
        found = {usual if name == "auto" else name: term for name, term in wanted.items()}
        if len(found) < len(wanted):
            raise ConfigError(f"distill.loss: 'auto' is '{usual}' here, which is named beside it")
    if all(LOSSES[name].space == "features" for name in found):
        found = {usual: Term(), **found}
    return found


def refuse(wanted: Wanted) -> None:
    """Raises ConfigError for losses and options that there are none of."""
    for name in [wanted] if isinstance(wanted, str) else wanted:
        if name not in LOSSES and name != "auto":
            raise ConfigError(unknown("distill.loss", name, [*LOSSES, "auto"]))
    if isinstance(wanted, str):
        return
    if not any(term.weight or term.end_weight for term in wanted.values()):
        raise ConfigError("distill.loss: all weights are 0; one has to be above")
    for name, term in wanted.items():
        known = _options(Loss if name == "auto" else LOSSES[name])
        for option in term.options:
            if option not in known:
                keys = [*known, *Term.model_fields]
                raise ConfigError(unknown(f"distill.loss.{name}", option, keys))


def needs(wanted: Wanted) -> frozenset[str]:
    """The taps that `distill.loss` reads, of teacher and student; of 'auto' those of all that it may take.

    Raises ConfigError.
    """
    refuse(wanted)
    found: frozenset[str] = frozenset()
    for name in [wanted] if isinstance(wanted, str) else wanted:
        found |= frozenset().union(*(LOSSES[one].needs for one in _meant(name)))
    return found


def on_logits(loss: Loss) -> Loss | None:
    """What of a loss reads logits alone and needs no preparation; None where nothing of it does."""
    if not loss.student_taps and not loss.prepares:
        return loss
    if not isinstance(loss, Weighted):
        return None
    left = {n: s for n, s in loss.shares.items() if on_logits(s.loss) is not None}
    return _joined(left) if left else None


def space_of(
    outputs: int, activation: str, metric: str | None, classes: int | None, *, valued: bool
) -> Space:
    """What the outputs of a task are. valued: the data has labels that are real numbers.

    The first that holds: the metric of areas (miou) -> places; a metric of values (mse) -> values; one of directions
    (cosine) -> directions, for one output values; a final sigmoid -> yes-no; real labels -> yes-no for a metric that
    takes several labels at once (auc), else values; two or more outputs -> classes (they count as class logits when
    nothing says otherwise); one output with classes or a class metric -> yes-no, else values.
    """
    known = METRICS.get(metric or "")
    if known is miou.METRIC:
        return "places"
    if known is not None and known.takes_numbers:
        return "directions" if known.compares == "directions" and outputs > 1 else "values"
    if activation == "sigmoid":
        return "yes-no"
    if valued:
        return "yes-no" if known is not None and known.many else "values"
    if outputs > 1:
        return "classes"
    told_apart = classes is not None or (known is not None and known.classifies)
    return "yes-no" if told_apart else "values"


def _joined(shares: Mapping[str, Share]) -> Loss:
    """One loss of them all: a single one that always counts 1 is itself."""
    (first, *rest) = shares.values()
    if not rest and first.weight == first.end_weight == 1:
        return first.loss
    try:
        return Weighted(shares)
    except ValueError as e:
        raise ConfigError(f"distill.loss: {e}") from e


def _meant(name: str) -> list[str]:
    return list(USUAL.values()) if name == "auto" else [name]


def _options(kind: type[Loss]) -> list[str]:
    return [name for name in inspect.signature(kind.__init__).parameters if name != "self"]
