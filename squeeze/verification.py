"""Can this package be trusted here: does it open, and does it compute what it computed when it was made?

What may differ between two CPUs, or between kernels and function bodies, is roundings of an int8 network that flip, and
what follows from them. How much that is depends on the network: no more than what quantisation itself did to its
outputs, which the package knows, for it has the outputs of the float network too. A float file may differ by the order
of additions alone.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from squeeze import artifact, runtimes, seal, signature
from squeeze.calib import Preprocess
from squeeze.calib.text import again
from squeeze.contract import NUMBERS, VECTOR
from squeeze.errors import ConfigError, Mismatch
from squeeze.interface import Interface
from squeeze.runtimes.confined import check_within

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from squeeze.calib.text.sentences import Text
    from squeeze.feed import Array, Feed

# Of the root mean square of an output: what the order of additions changes in float32.
SAME = 1e-3
# Sides of the golden file; each is followed by the name of an input or output.
INPUTS, OUTPUTS, FLOATS, STORED = "inputs/", "outputs/", "float/", "stored/"
# What the samples were made of, where that was text.
TEXTS = "texts"
# What the device's own file gave, where it has one.
DEVICE = "device/"
# How a package may be run: (with ONNX Runtime's optimisations, with our library).
WAYS = {
    "optimised": (True, True),
    "optimisations off": (False, True),
    "without our library": (True, False),
}

# What NumPy raises for arrays that are none, or that claim to be larger than any machine.
_UNREADABLE = (
    *(AttributeError, EOFError, KeyError, MemoryError, NotImplementedError, OSError, OverflowError),
    *(RecursionError, RuntimeError, SyntaxError, TypeError, ValueError, zlib.error),
)


@dataclass(frozen=True)
class Check:
    """One thing that was tried, and what came out."""

    what: str
    ok: bool
    found: str


@dataclass(frozen=True)
class Golden:
    """A few inputs, what the file gives for them, and what the float network gives: name -> [n, ...].

    stored: the inputs before their preprocessing, of those for which an app has some to do. texts: what the inputs were
    made of, where that was text.
    """

    inputs: Feed
    outputs: Feed
    floats: Feed
    stored: Feed = field(default_factory=dict)
    texts: Sequence[Text] = ()

    def arrays(self) -> dict[str, Array]:
        """As they are stored."""
        sides = {
            INPUTS: self.inputs,
            OUTPUTS: self.outputs,
            FLOATS: self.floats,
            STORED: self.stored,
        }
        found = {f"{side}{name}": x for side, feed in sides.items() for name, x in feed.items()}
        return found | ({TEXTS: again.as_bytes(self.texts)} if self.texts else {})

    @classmethod
    def read(cls, stored: Mapping[str, Array]) -> Golden:
        """What `arrays` gave."""
        sides = [
            {n.removeprefix(side): stored[n] for n in stored if n.startswith(side)}
            for side in (INPUTS, OUTPUTS, FLOATS, STORED)
        ]
        texts = again.from_bytes(stored[TEXTS]) if TEXTS in stored else ()
        return cls(sides[0], sides[1], sides[2], sides[3], texts)

    def lacks(self, interface: Interface) -> str:
        """What of the samples that prove something is not there, or is of no use; "" where nothing is."""
        counts = set()
        for side, known, specs in (
            ("input", self.inputs, interface.inputs),
            ("output", self.outputs, interface.outputs),
            ("float output", self.floats, interface.outputs),
        ):
            for spec in specs:
                # A state that begins empty has no numbers, but samples.
                begins_empty = side == "input" and 0 in spec.shape
                x = known.get(spec.name)
                if x is None or len(x) == 0 or (x.size == 0 and not begins_empty):
                    return f"no {side} '{spec.name}' in it; it proves nothing"
                if x.ndim != 1 + len(spec.shape) or x.dtype.kind != np.dtype(spec.dtype).kind:
                    return (
                        f"{side} '{spec.name}' is {x.dtype} {list(x.shape)}, the model has {spec}"
                    )
                counts.add(len(x))
        return "" if len(counts) == 1 else "inputs and outputs are of different numbers of samples"


def expected(found: str, expect: str) -> Check:
    """Whether a package is the one that somebody has the digest of."""
    same = found == _digits(expect)
    return Check("expected", same, found if same else f"artifact_digest {found}, expected {expect}")


def check_digest(option: str, given: str) -> None:
    """Raises ConfigError for what is no SHA-256 in hexadecimal."""
    if re.fullmatch(r"[0-9a-f]{64}", _digits(given)) is None:
        raise ConfigError(
            f"{option}: got '{given}', allowed: the 64 hexadecimal digits of an artifact_digest, which "
            "compile --json and inspect --json print"
        )


def _digits(given: str) -> str:
    """Of a digest as it may be written: 'sha256:' before it, or in capitals."""
    return given.lower().removeprefix("sha256:")


def answers(model: Path, inputs: Feed, interface: Interface) -> Feed:
    """What a file gives for `inputs`, to be stored in the package."""
    return runtimes.infer(runtimes.session(model, outputs_only=True), inputs, interface)


def preprocess_again(known: Golden, preprocesses: Mapping[str, Any]) -> list[Check]:
    """Whether the preprocessing that a package tells makes its golden inputs of the samples as they are stored."""
    checks = []
    for name, stored in known.stored.items():
        told = Preprocess.model_validate(preprocesses[name])
        what, inputs = f"preprocessing of {name}", known.inputs[name]
        made = told.apply(stored)
        if made.shape != inputs.shape:
            text = f"makes {list(made.shape)} of the stored samples, golden inputs are {list(inputs.shape)}"
            checks.append(Check(what, False, text))
            continue
        moved = float(np.abs(made.astype(np.float64) - inputs).max())
        largest = max(1.0, float(np.abs(inputs.astype(np.float64)).max()))
        text = f"golden inputs moved by {_percent(moved, largest)} of the largest"
        checks.append(Check(what, moved <= SAME * largest, text))
    return checks


def tokenise_again(
    known: Golden, tokenizer: Path, told: Mapping[str, Any]
) -> list[Check]:  # Any: JSON
    """Whether the tokenizer of a package makes its golden inputs of the texts beside them."""
    what = f"{seal.TOKENIZER} on {len(known.texts)} texts"
    if missing := again.missing():
        return [Check(what, True, f"not tried here: {missing}")]
    made = again.tokenised_again(tokenizer.read_bytes(), told, known.texts, str(tokenizer))
    wrong = [name for name, x in made.items() if not np.array_equal(x, known.inputs[name])]
    text = f"{', '.join(wrong)}: other values than in {seal.GOLDEN}" if wrong else "the same ids"
    return [Check(what, not wrong, text)]


def recompute(
    model: Path, known: Golden, interface: Interface, vectors: Collection[str] = ()
) -> list[Check]:
    """Runs `model` with ONNX Runtime's optimisations on and off, and with and without our library, on the inputs.

    vectors: outputs that are no scores of classes.
    """
    checks = []
    for what, (optimise, native) in WAYS.items():
        session = runtimes.session(model, optimise=optimise, native=native, outputs_only=True)
        got = runtimes.infer(session, known.inputs, interface)
        for name, expected in known.outputs.items():
            told = what if len(known.outputs) == 1 else f"{what}, {name}"
            vector = name in vectors
            checks.append(compare(told, expected, got[name], known.floats[name], vector=vector))
    return checks


def signed(package: artifact.Artifact, key: str | Path | None) -> list[Check]:
    """Whether the package was signed with the private half of `key`; without one, that nobody looked."""
    if key is None:
        there = (package.path / seal.SIGNATURE).is_file()
        unseen = f"{seal.SIGNATURE} was not checked: --key PUBLIC.pem does"
        return [Check("signature", True, unseen)] if there else []
    try:
        return [Check("signature", True, signature.check_signature(package, key))]
    except Mismatch as e:
        return [Check("signature", False, str(e))]


def verify(
    path: str | Path, expect: str | None = None, key: str | Path | None = None
) -> list[Check]:
    """Opens the package (digests) and recomputes its golden outputs; of one whose bytes changed nothing is run.

    expect: the artifact_digest that was kept elsewhere; key: the file of the public key that it must be signed for.
    Of a package that is another one nothing is run either. Raises ConfigError for what is no package, for an `expect`
    that is no digest and a `key` that is none, and UnsupportedError for a `key` without the package model-signing.
    """
    if expect is not None:
        check_digest("--expect", expect)
    if key is not None:
        signature.check_public_key(key)
    try:
        package = artifact.open(path)
    except seal.Damaged as e:
        return [Check("digests", False, str(e))]
    names = ", ".join(package.manifest["files"])
    checks = [Check("digests", True, f"all files as written: {names}")]
    if expect is not None:
        checks.append(expected(package.digest, expect))
    checks += signed(package, key)
    if not all(check.ok for check in checks):
        return checks
    try:
        with (
            (package.path / seal.GOLDEN).open(
                "rb"
            ) as file,  # which NumPy leaves open where it is no archive
            np.load(file, allow_pickle=False) as stored,
        ):
            known = Golden.read(stored)
            there = {n.removeprefix(DEVICE): stored[n] for n in stored if n.startswith(DEVICE)}
            there = there if package.manifest.get("device") else {}
        if lacking := known.lacks(package.interface):
            return [*checks, Check(seal.GOLDEN, False, lacking)]
    except (*_UNREADABLE, BadZipFile) as e:
        said = (str(e).splitlines() or [type(e).__name__])[0][:200]
        return [*checks, Check(seal.GOLDEN, False, f"cannot be read: {said}")]
    try:
        told = package.manifest["signature"]
        vectors = _vectors(package.manifest)
        checks += preprocess_again(known, told["preprocess"])
        if told.get("text") is not None:
            checks += tokenise_again(known, package.path / seal.TOKENIZER, told["text"])
    except (*_UNREADABLE, ConfigError) as e:
        said = (str(e).splitlines() or [type(e).__name__])[0][:200]
        return [*checks, Check("preprocessing", False, f"cannot be done: {said}")]
    model = package.model
    check_within(model, path, model.stat().st_size)
    checks += recompute(model, known, package.interface, vectors)
    return checks + (recompute_there(package, known, there, vectors) if there else [])


def _vectors(manifest: Mapping[str, Any]) -> set[str]:  # Any: JSON
    """The outputs that are no scores of classes, by what the contract of a package says they mean."""
    outputs = manifest.get("contract", {}).get("outputs", [])
    return {str(one["name"]) for one in outputs if one["means"] in (VECTOR, NUMBERS)}


def recompute_there(
    package: artifact.Artifact, known: Golden, there: Feed, vectors: Collection[str] = ()
) -> list[Check]:
    """Runs the device's own file of the package by its runtime, where that is installed; where not, that is said."""
    from squeeze.measure.on_runtime import outputs_on
    from squeeze.runtimes.runtime import Built
    from squeeze.runtimes.table import runtime_of
    from squeeze.spec import parse
    from squeeze.target import Target

    manifest = package.manifest
    target = parse(Target, manifest["target"], str(package.path / seal.MANIFEST))
    runtime, names = runtime_of(target), manifest["device"]["files"]
    what = f"{names[-1]} on {target.name}"
    if missing := runtime.missing():
        return [Check(what, True, f"not run here: {missing}")]
    built = Built({name: package.path / name for name in names})
    got = outputs_on(runtime, built, known.inputs, package.interface)
    return [
        compare(f"{what}, {name}", expected, got[name], known.floats[name], vector=name in vectors)
        for name, expected in there.items()
    ]


def compare(
    what: str, expected: Array, got: Array, reference: Array, *, vector: bool = False
) -> Check:
    """Whether `got` is what the file gave, `expected`; `reference` is the float network's. All [n, ...].

    vector: whether a sample [k] is a direction or numbers, not scores of classes.
    """
    if got.shape != expected.shape:
        return Check(what, False, f"output shape {got.shape}, stored {expected.shape}")
    if reference.shape != expected.shape or reference.dtype.kind not in "biuf":
        return Check(
            what, False, f"stored {expected.shape}, of the float network {reference.shape}"
        )
    if expected.dtype.kind not in "f":
        return _compare_integers(what, expected, got, reference)
    a, b, r = (x.astype(np.float64).reshape(len(x), -1) for x in (expected, got, reference))
    scale = _rms(r).max()
    moved, quantised = _rms(a - b), _rms(a - r)
    allowed = max(float(quantised.max()), SAME * scale)
    why = "what quantisation did" if allowed > SAME * scale else "the order of additions"
    text = f"golden outputs moved by {_percent(moved.max(), scale)}, allowed {_percent(allowed, scale)} ({why})"
    finite = bool(np.isfinite(b).all()) and bool(np.isfinite(allowed))
    ok = finite and float(moved.max()) <= allowed
    if expected.ndim != 2 or expected.shape[1] < 2:
        return Check(what, ok, text)
    if vector:
        return Check(
            what, ok, f"{text}, cosine with the stored ones at least {_least_cosine(a, b)}"
        )
    # A sample whose two best classes are nearer than what an output may move by has no top-1 to speak of.
    best = np.sort(a, axis=1)
    clear = best[:, -1] - best[:, -2] > 2 * np.sqrt(a.shape[1]) * allowed
    if not clear.any():
        near = f"on each of {len(a)} samples the two best are nearer than that"
        return Check(what, ok, f"{text}, top-1 not compared: {near}")
    same = int((a.argmax(1) == b.argmax(1))[clear].sum())
    text += f", same top-1 on {same} of {int(clear.sum())}"
    return Check(what, ok and same == int(clear.sum()), text)


def _compare_integers(what: str, expected: Array, got: Array, reference: Array) -> Check:
    moved = float(np.mean(expected != got))
    allowed = float(np.mean(expected != reference))
    text = f"{100 * moved:.2f} % of golden values changed, allowed {100 * allowed:.2f} % (what quantisation changed)"
    return Check(what, moved <= allowed, text)


def _least_cosine(a: Array, b: Array) -> str:  # [n, k] each
    with np.errstate(all="ignore"):
        cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    # Two samples of nothing but 0 have no direction, and are the same.
    return f"{np.where((a == b).all(1), 1.0, cosine).min():.4f}"


def _rms(x: Array) -> Array:  # [n, k] -> [n]
    # Golden outputs can hold anything; where squares overflow nothing is the same.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(np.mean(x**2, axis=1)))


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f} %" if whole > 0 else f"{part:.3g}"
