"""The teacher's own tokenizer: a tokenizer.json, by the package `tokenizers`; what lies beside it says more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from squeeze.calib.class_names import of_config
from squeeze.calib.text import pooling
from squeeze.errors import ConfigError

FILE = "tokenizer.json"
MISSING = "tokenizing text needs the package tokenizers: pip install tokenizers"
_DEFAULT_LENGTH = 512  # tokens, where nothing says what the model takes
_ENDLESS = 1_000_000  # tokens: what is written where there is no limit
_PADS = ("[PAD]", "<pad>", "<PAD>", "<|pad|>", "<|endoftext|>")
# Their positions begin behind the id of the padding.
_SHIFTED = {"camembert", "longformer", "mpnet", "roberta", "xlm-roberta"}

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Tokens:
    """Of one text or pair: ids, token types, and the word that each is of (None for special tokens)."""

    ids: Sequence[int]
    types: Sequence[int]
    words: Sequence[int | None]


@dataclass(frozen=True)
class Tokenizer:
    """data: the bytes of tokenizer.json. longest: tokens that the model takes, and who says so; positions: how many it
    could take. pooling: how a sentence encoder makes one vector of many, where the folder says it; labels: the names of
    classes in the model's order."""

    data: bytes
    digest: str
    opened: Any  # Any: of a package that may be absent
    pad_id: int
    pads_left: bool
    cuts_left: bool
    longest: tuple[int, str]
    positions: int | None = None
    pooling: str | None = None
    labels: Sequence[str] = field(default=())

    # Any: texts, pairs of them, or lists of words.
    def encoded(self, texts: Sequence[Any], *, words: bool = False) -> list[Tokens]:
        """Texts, pairs of texts, or with `words` lists of words, whole."""
        self.opened.no_padding()
        self.opened.no_truncation()
        return [_tokens(e) for e in self.opened.encode_batch(list(texts), is_pretokenized=words)]

    def shortened(
        self,
        texts: Sequence[Any],  # Any: as above
        found: Sequence[Tokens],
        length: int,
        where: str,
        *,
        words: bool = False,
    ) -> list[Tokens]:
        """The tokens `found` of `texts`, those of longer ones cut to `length` with the special tokens.

        Raises ConfigError where those alone are as long.
        """
        self.opened.no_padding()
        self.opened.enable_truncation(length, direction="left" if self.cuts_left else "right")
        whole = list(found)
        for i, (text, one) in enumerate(zip(texts, found, strict=True)):
            if len(one.ids) <= length:
                continue
            parts = text if isinstance(text, tuple) else (text,)
            cut = whole[i] = _tokens(self.opened.encode(*parts, is_pretokenized=words))
            if len(cut.ids) > length or all(word is None for word in cut.words):
                raise ConfigError(
                    f"{where}: {length} tokens have no room for text beside the special ones; allowed: more"
                )
        return whole


def _tokens(encoding: Any) -> Tokens:  # Any: as above
    return Tokens(encoding.ids, encoding.type_ids, encoding.word_ids)


def find(asked: str, model: str | None, source: str) -> Path:
    """The tokenizer.json that was asked for, or the one beside the model. Raises ConfigError."""
    if asked:
        path = Path(asked)
        path = path / FILE if path.is_dir() else path
        if not path.is_file():
            raise ConfigError(f"{path}: no such file; --tokenizer takes the model's {FILE}")
        return path
    folder = None if model is None else _folder(Path(model))
    if folder is not None and (folder / FILE).is_file():
        return folder / FILE
    where = "" if folder is None else f" there is none in {folder};"
    raise ConfigError(
        f"{source}: text needs the model's {FILE};{where} give it with --tokenizer FILE"
    )


def _folder(model: Path) -> Path | None:
    if model.is_dir():
        return model
    return model.parent if model.is_file() else None


def open_tokenizer(path: Path) -> Tokenizer:
    """Raises ConfigError for what is no tokenizer.json, and where the package is missing."""
    data = path.read_bytes()
    made = opened(data, str(path))
    padding, truncation = made.padding or {}, made.truncation or {}
    config = _json(path.parent / "config.json")
    beside = _json(path.parent / "tokenizer_config.json")
    return Tokenizer(
        data=data,
        digest=hashlib.sha256(data).hexdigest(),
        opened=made,
        pad_id=_pad_id(made, padding, beside, config),
        pads_left="left" in (padding.get("direction"), beside.get("padding_side")),
        cuts_left=cuts_left(made),
        longest=_longest(path, truncation, beside, config),
        positions=positions_of(config),
        pooling=_pooling(path.parent),
        labels=of_config(config),
    )


def opened(data: bytes, where: str) -> Any:  # Any: of a package that may be absent
    """Raises ConfigError as `open_tokenizer`."""
    if find_spec("tokenizers") is None:
        raise ConfigError(MISSING)
    from tokenizers import Tokenizer as Opened

    try:
        made = Opened.from_str(data.decode())
    # The package raises Exception itself.
    except Exception as e:
        said = (str(e).splitlines() or ["damaged"])[0][:200]
        raise ConfigError(
            f"{where}: not a {FILE}: {said}; save it with tokenizer.save_pretrained(FOLDER)"
        ) from e
    return made


def cuts_left(made: Any) -> bool:  # Any: as above
    """Whether the beginning of what is too long goes, before anything is cut with it."""
    return (made.truncation or {}).get("direction") == "left"


def _pad_id(made: Any, padding: Json, said: Json, config: Json) -> int:  # Any: as above
    if padding:
        return int(padding["pad_id"])
    token = said.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    for name in (token, *_PADS):
        found = None if not isinstance(name, str) else made.token_to_id(name)
        if found is not None:
            return int(found)
    known = config.get("pad_token_id")
    return known if type(known) is int and known >= 0 else 0


def positions_of(config: Json) -> int | None:
    """For how many tokens a network of transformers was made, by its config.json; None where that does not say it."""
    positions = config.get("max_position_embeddings")
    if type(positions) is not int:
        return None
    if config.get("model_type") in _SHIFTED:
        pad = config.get("pad_token_id")
        positions -= 1 + (pad if type(pad) is int else 1)
    return positions


def _longest(path: Path, truncation: Json, said: Json, config: Json) -> tuple[int, str]:
    """The least of what is said, in tokens, and where."""
    own = _json(path.parent / "sentence_bert_config.json").get("max_seq_length")
    known = {
        FILE: truncation.get("max_length"),
        "tokenizer_config.json": said.get("model_max_length"),
        "config.json": positions_of(config),
        "sentence_bert_config.json": own,
    }
    limits = [(n, where) for where, n in known.items() if type(n) is int and 0 < n < _ENDLESS]
    return min(limits, default=(_DEFAULT_LENGTH, "the usual one, for nothing says what it is"))


def _pooling(folder: Path) -> str | None:
    """Such as "mean", of a folder of sentence-transformers."""
    modules = _read(folder / "modules.json")
    places = [
        one["path"]
        for one in (modules if isinstance(modules, list) else ())
        if isinstance(one, dict)
        and str(one.get("type", "")).endswith(f".{pooling.MODULE}")
        and isinstance(one.get("path"), str)
    ]
    place = PurePosixPath(places[0] if places else pooling.FOLDER)
    if place.is_absolute() or ".." in place.parts:
        return None
    found, strange = pooling.poolings(_json(folder / place / "config.json"))
    return None if strange else "+".join(found) or None


def _json(path: Path) -> Json:
    """What a file beside the tokenizer says; nothing where it is not there, or no JSON object."""
    found = _read(path)
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> Any:  # Any: JSON; None where there is none
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
