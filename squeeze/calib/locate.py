"""Where a calibration set lies: a bundled name, a file, a folder, or a TOML; and the metric that is named for it."""

from __future__ import annotations

from pathlib import Path

from squeeze import metrics, paths, spec
from squeeze.calib import text as calib_text
from squeeze.calib import toml as calib_toml
from squeeze.calib.toml import Declared, Source
from squeeze.errors import ConfigError, unknown

_FORMS = "a .npz, .npy, .csv, .tsv, .jsonl, .txt, .conll or .toml file, a folder of images, or a bundled name"
_TYPES = {".npy", ".npz", *calib_text.SUFFIXES}


def names() -> list[str]:
    """The bundled sets."""
    return spec.names("calib")


def located(source: str) -> Source:
    """The files of a set, and what is declared of it. Raises ConfigError for what cannot be found or read."""
    path = Path(source)
    if source in names():
        path = paths.shipped("calib") / f"{source}.toml"
    if path.suffix == ".toml":
        return calib_toml.load(path)
    if path.is_dir() or (path.suffix in _TYPES and path.exists()):
        declared = Declared(schema=1, name=path.resolve().stem, data=(source,))
        return Source(declared, (path,))
    if path.suffix or path.parent != Path():
        got = f"cannot read '{path.suffix}' files" if path.exists() else "no such file or folder"
        raise ConfigError(f"calibration set {source}: {got}; allowed: {_FORMS}")
    raise ConfigError(f"{unknown('calibration set', source, names())}; or {_FORMS}")


def named_metric(
    wish: str | None, declared: Declared, source: str
) -> tuple[str | None, str | None]:
    """The metric and the output that are named, by the wish before the TOML."""
    found, output = None, declared.output
    for text in (declared.metric, wish):
        if text is not None:
            found, of = metrics.split_name(text)
            metrics.check_name(found, f"{source}: metric")
            output = of or output
    return found, output
