"""Who made a package: an OpenSSF Model Signing v1 bundle over all of its files, written and checked with local keys.

`model.sig` lies in the package. It is the one file there that the manifest does not list, for it signs the manifest
too; a compile that writes the package anew leaves it out. `model_signing verify key` accepts it, and what
`model_signing sign key` wrote to that place is accepted here.

The bundle itself says which files it signs, so its own tool accepts one that leaves files out; here it has to name
every file of the package. Nothing is asked of the network.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from squeeze import artifact
from squeeze.errors import ConfigError, Mismatch, UnsupportedError
from squeeze.runtimes.installed import missing_package
from squeeze.seal import MANIFEST, SIGNATURE
from squeeze.workdir import digest_file, write_atomic

if TYPE_CHECKING:
    from squeeze.artifact import Artifact

Json = dict[str, Any]  # Any: JSON

# Those that bundles know, by the names of OpenSSL.
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_MOST_BYTES = 1 << 20  # of a bundle; it has about 150 a file
_MAKE_KEYS = (
    "openssl ecparam -name prime256v1 -genkey -noout -out private.pem; "
    "openssl pkey -in private.pem -pubout -out public.pem"
)


def sign_package(path: str | Path, key: str | Path, password: bytes | None = None) -> Path:
    """Signs all files of the package `path` into its `model.sig`, in the place of one that was there; that file.

    key: PEM, a private key on P-256, P-384 or P-521; password: of an encrypted one. Raises ConfigError for a wrong key,
    for what is no package and where nothing can be written, Mismatch for a package whose bytes changed, and
    UnsupportedError without the package model-signing.
    """
    signing = _library("signing")
    key = Path(key)
    encrypted = b"ENCRYPTED" in _pem(key)
    if encrypted and password is None:
        raise ConfigError(
            f"--key {key}: is encrypted; put its password into the environment variable SQUEEZE_KEY_PASSWORD"
        )
    password = password if encrypted else None
    _load(key, "private", password)
    package = artifact.open(path)
    with TemporaryDirectory() as folder:
        made = Path(folder) / SIGNATURE
        config = signing.Config().use_elliptic_key_signer(private_key=key, password=password)
        try:
            config.set_hashing_config(_hashing()).sign(package.path, made)
        except (OSError, ValueError) as e:
            raise ConfigError(f"{package.path}: cannot be signed: {str(e).splitlines()[0]}") from e
        bundle = made.read_bytes()
    _compare(package, _signed(bundle, package.path / SIGNATURE))
    file = package.path / SIGNATURE
    try:
        write_atomic(file, bundle)
    except OSError as e:
        raise ConfigError(f"{file}: cannot be written: {e.strerror}") from e
    return file


def check_public_key(key: str | Path) -> None:
    """Raises ConfigError for what is no public key of ours, UnsupportedError without the package model-signing."""
    _library("verifying")
    _load(Path(key), "public", None)


def check_signature(package: Artifact, key: str | Path) -> str:
    """What was found, where the bundle in `package` signs all of its files with the private half of `key`.

    Raises Mismatch where it does not, ConfigError and UnsupportedError as `check_public_key`.
    """
    from cryptography.exceptions import InvalidSignature

    verifying, key, file = _library("verifying"), Path(key), package.path / SIGNATURE
    public = _load(key, "public", None)
    if not file.is_file():
        raise Mismatch(f"{file}: missing; the package is not signed")
    if file.stat().st_size > _MOST_BYTES:
        raise Mismatch(f"{file}: no OpenSSF Model Signing v1 bundle: over {_MOST_BYTES:,} bytes")
    bundle = file.read_bytes()
    signed = _signed(bundle, file)
    if _key_of(bundle) not in (None, _key_digest(public)):
        raise Mismatch(f"{file}: signed with another key than {key}")
    _compare(package, signed)
    config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    try:
        config.set_hashing_config(_hashing()).verify(package.path, file)
    except InvalidSignature as e:
        raise Mismatch(f"{file}: not signed with {key}, or changed since") from e
    # The library says so in its own words, or stumbles over what is not there.
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
        raise Mismatch(f"{file}: no OpenSSF Model Signing v1 bundle: {_line(e)}") from e
    return f"all {len(signed)} files signed with {key}"


def _library(module: str) -> Any:  # Any: an optional package
    # model-signing imports pyopenssl, and does not ask for it.
    for needed, package in (("model_signing", "model-signing"), ("OpenSSL", "pyopenssl")):
        if missing := missing_package(needed, package, "sign"):
            raise UnsupportedError(f"signatures: {missing}")
    return import_module(f"model_signing.{module}")


def _hashing() -> Any:  # Any: an optional package
    return _library("hashing").Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _pem(key: Path) -> bytes:
    try:
        return key.read_bytes()
    except OSError as e:
        raise ConfigError(f"--key {key}: cannot be read: {e.strerror}") from e


def _load(key: Path, half: str, password: bytes | None) -> Any:  # Any: an optional package
    """The private or public key in a file. Raises ConfigError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    pem = _pem(key)
    try:
        if half == "private":
            loaded: Any = serialization.load_pem_private_key(pem, password)
        else:
            loaded = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as e:
        if password is not None:
            why = "cannot be read with the password in SQUEEZE_KEY_PASSWORD"
        elif half == "private" and b"PUBLIC KEY" in pem:
            why = "is a public key; the private one is wanted"
        elif half == "public" and b"PRIVATE KEY" in pem:
            why = (
                "is a private key; the public one is wanted, and the private one stays where it is"
            )
        else:
            why = f"no {half} key in PEM form; two keys are made by: {_MAKE_KEYS}"
        raise ConfigError(f"--key {key}: {why}") from e
    if getattr(getattr(loaded, "curve", None), "name", None) not in CURVES:
        raise ConfigError(
            f"--key {key}: allowed: elliptic curves {', '.join(CURVES.values())}; two keys are made by: {_MAKE_KEYS}"
        )
    return loaded


def _key_digest(public: Any) -> str:  # Any: an optional package
    """As bundles tell it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _signed(bundle: bytes, file: Path) -> dict[str, str]:
    """Name -> SHA-256 of the files that a bundle speaks of; whether it is signed is not looked at. Raises Mismatch."""
    try:
        payload = json.loads(bundle)["dsseEnvelope"]["payload"]
        statement = json.loads(b64decode(payload, validate=True))
        resources = statement["predicate"]["resources"]
        if kinds := {str(r["algorithm"]) for r in resources} - {"sha256"}:
            raise Mismatch(f"{file}: hashed with {', '.join(sorted(kinds))}; allowed: sha256")
        return {str(r["name"]): str(r["digest"]) for r in resources}
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise Mismatch(f"{file}: no OpenSSF Model Signing v1 bundle: {_line(e)}") from e


def _key_of(bundle: bytes) -> str | None:
    """The digest of the key that a bundle names; None where it names none."""
    try:
        return str(json.loads(bundle)["verificationMaterial"]["publicKey"]["hint"])
    except (KeyError, TypeError):
        return None


def _compare(package: Artifact, signed: dict[str, str]) -> None:
    """Raises Mismatch where a bundle does not speak of exactly the files of the package."""
    file = package.path / SIGNATURE
    there = {name: str(f["digest"]) for name, f in package.manifest["files"].items()}
    there[MANIFEST] = digest_file(package.path / MANIFEST)
    for name, digest in there.items():
        if name not in signed:
            raise Mismatch(f"{file}: does not sign '{name}'")
        if signed[name] != digest:
            raise Mismatch(
                f"{file}: signs other bytes of '{name}': it is of another package, or that was changed since"
            )
    if foreign := sorted(set(signed) - set(there)):
        raise Mismatch(f"{file}: signs '{foreign[0]}' too, which is not in the package")


def _line(error: Exception) -> str:
    """What an error says, in one short line."""
    said = str(error).strip().partition("\n")[0][:120]
    return f"{type(error).__name__}: {said}" if isinstance(error, LookupError) else said
