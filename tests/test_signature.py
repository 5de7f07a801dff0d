"""Signed packages: by squeeze and by the stock tool, accepted by each other, and refused after any change."""

from __future__ import annotations

import base64
import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import squeeze
from squeeze import artifact, seal, signature
from squeeze.errors import ConfigError, Mismatch, UnsupportedError

if find_spec("model_signing") is None:
    pytest.skip("model-signing is not installed", allow_module_level=True)
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.key_files import Keys, key_files

FILES = {
    "model.onnx": b"model",
    "golden.npz": b"golden",
    "report.html": b"<html>",
    "bom.cdx.json": b"{}",
}
MANIFEST = {"schema": seal.SCHEMA, "signature": {}}
ALL = {*FILES, "manifest.json"}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return key_files(tmp_path, "ours")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return artifact.write(tmp_path / "out", MANIFEST, FILES).path


def stock(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line of model-signing, in a process of its own."""
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def stock_verify(package: Path, public: Path) -> subprocess.CompletedProcess[str]:
    bundle = package / "model.sig"
    return stock("verify", "key", package, "--signature", bundle, "--public_key", public)


def stock_sign(package: Path, private: Path, *more: str | Path) -> None:
    bundle = package / "model.sig"
    done = stock("sign", "key", package, "--signature", bundle, "--private_key", private, *more)
    assert done.returncode == 0, done.stderr


def found(package: Path, public: Path) -> str:
    return signature.check_signature(artifact.open(package), public)


def refused(package: Path, public: Path) -> str:
    """Why `squeeze verify --key` does not accept it: one line of one check, after which nothing was run."""
    *before, last = squeeze.verify(package, key=public)
    assert all(check.ok for check in before)
    assert not last.ok
    assert len(last.found.splitlines()) == 1
    return f"{last.what}: {last.found}"


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_what_squeeze_signed_is_accepted_by_the_stock_tool(
    package: Path, tmp_path: Path, curve: ec.EllipticCurve
) -> None:
    keys = key_files(tmp_path, "ours", ec.generate_private_key(curve))
    assert squeeze.sign(package, keys.private) == package / "model.sig"
    done = stock_verify(package, keys.public)
    assert done.returncode == 0, done.stdout + done.stderr
    assert found(package, keys.public) == f"all 5 files signed with {keys.public}"
    (package / "model.onnx").write_bytes(b"other")
    assert stock_verify(package, keys.public).returncode == 1


def test_what_the_stock_tool_signed_is_accepted_by_squeeze(package: Path, keys: Keys) -> None:
    stock_sign(package, keys.private)
    assert found(package, keys.public) == f"all 5 files signed with {keys.public}"


def test_bundle_signs_every_file_by_its_sha256_and_not_itself(package: Path, keys: Keys) -> None:
    for _ in range(2):  # signed anew, the old signature is not signed
        squeeze.sign(package, keys.private)
        bundle = json.loads((package / "model.sig").read_text())
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        assert statement["predicateType"] == "https://model_signing/signature/v1.0"
        signed = {r["name"]: r["digest"] for r in statement["predicate"]["resources"]}
        assert signed.keys() == ALL
        done = subprocess.run(
            ["sha256sum", package / "model.onnx"], capture_output=True, text=True, check=True
        )
        assert signed["model.onnx"] == done.stdout.split()[0]


def sealed_anew(package: Path, files: dict[str, bytes]) -> None:
    """What somebody does who may write the folder and knows the format, but has no key."""
    bundle = (package / "model.sig").read_bytes()
    artifact.write(package, MANIFEST, files)
    (package / "model.sig").write_bytes(bundle)


def test_changed_byte_added_file_and_removed_file_are_refused(package: Path, keys: Keys) -> None:
    squeeze.sign(package, keys.private)
    (package / "more.txt").write_text("x")
    assert "more.txt: is not in the manifest" in refused(package, keys.public)
    (package / "more.txt").unlink()
    (package / "model.onnx").write_bytes(b"modem")
    assert "model.onnx: the bytes changed" in refused(package, keys.public)
    (package / "model.onnx").unlink()
    assert "model.onnx: missing" in refused(package, keys.public)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({**FILES, "model.onnx": b"modem"}, "signs other bytes of 'model.onnx'"),
        ({**FILES, "weights.safetensors": b"w"}, "does not sign 'weights.safetensors'"),
    ],
    ids=["changed", "added"],
)
def test_package_sealed_anew_without_the_key_is_refused(
    package: Path, keys: Keys, files: dict[str, bytes], why: str
) -> None:
    squeeze.sign(package, keys.private)
    sealed_anew(package, files)
    assert squeeze.verify(package)[0].ok
    assert f"signature: {package / 'model.sig'}: {why}" in refused(package, keys.public)


def test_package_sealed_anew_without_a_file_is_refused(package: Path, keys: Keys) -> None:
    artifact.write(package, MANIFEST, {**FILES, "weights.safetensors": b"w"})
    squeeze.sign(package, keys.private)
    sealed_anew(package, FILES)
    # Its manifest is another one, too.
    assert "signs other bytes of 'manifest.json'" in refused(package, keys.public)


def test_bundle_of_another_package_is_refused(package: Path, keys: Keys, tmp_path: Path) -> None:
    other = artifact.write(tmp_path / "other", MANIFEST, {**FILES, "golden.npz": b"g"}).path
    squeeze.sign(other, keys.private)
    shutil.copy(other / "model.sig", package)
    assert "signs other bytes of 'golden.npz': it is of another package" in refused(
        package, keys.public
    )


def test_bundle_that_leaves_a_file_out_is_refused_though_the_stock_tool_takes_it(
    package: Path, keys: Keys
) -> None:
    stock_sign(package, keys.private, "--ignore-paths", package / "model.onnx")
    assert stock_verify(package, keys.public).returncode == 0
    assert "does not sign 'model.onnx'" in refused(package, keys.public)


def test_bundle_of_a_file_more_is_refused(package: Path, keys: Keys) -> None:
    (package / "more.txt").write_text("x")
    stock_sign(package, keys.private)
    (package / "more.txt").unlink()
    assert "signs 'more.txt' too" in refused(package, keys.public)


def test_another_key_is_refused(package: Path, keys: Keys, tmp_path: Path) -> None:
    other = key_files(tmp_path, "other")
    squeeze.sign(package, keys.private)
    assert "signed with another key than" in refused(package, other.public)
    # Without the name of the key it is the signature that does not fit.
    file = package / "model.sig"
    bundle = json.loads(file.read_text())
    bundle["verificationMaterial"]["publicKey"]["hint"] = signature._key_digest(
        signature._load(other.public, "public", None)
    )
    file.write_text(json.dumps(bundle))
    assert f"not signed with {other.public}" in refused(package, other.public)


def test_package_without_a_signature_is_refused_where_one_is_asked_for(
    package: Path, keys: Keys
) -> None:
    assert "model.sig: missing; the package is not signed" in refused(package, keys.public)


def test_without_a_key_nobody_looked_at_the_signature(package: Path) -> None:
    (package / "model.sig").write_text("junk")
    checks = {check.what: check for check in squeeze.verify(package)}
    assert checks["signature"].ok
    assert "was not checked" in checks["signature"].found


@pytest.mark.parametrize("junk", [b"", b"\xff\x00", b"[]", b"{}", b"null", b"[" * 100_000])
def test_junk_is_no_bundle(package: Path, keys: Keys, junk: bytes) -> None:
    (package / "model.sig").write_bytes(junk)
    assert "no OpenSSF Model Signing v1 bundle" in refused(package, keys.public)


def test_huge_file_is_no_bundle_and_is_not_read(package: Path, keys: Keys) -> None:
    with (package / "model.sig").open("wb") as file:
        file.truncate(1 << 40)
    assert "no OpenSSF Model Signing v1 bundle: over" in refused(package, keys.public)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    if path:
        yield path
    inside = dict(enumerate(value)) if isinstance(value, list) else value
    for key, item in inside.items() if isinstance(inside, dict) else ():
        yield from places(item, (*path, key))


def without(value: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return changed


def with_junk(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    return changed


def test_bundle_with_junk_in_any_place_is_refused_or_as_good_as_before(
    package: Path, keys: Keys
) -> None:
    squeeze.sign(package, keys.private)
    file, public, opened = package / "model.sig", keys.public, artifact.open(package)
    bundle = json.loads(file.read_text())
    accepted, refusals = set(), []
    for path in places(bundle):
        changes = [with_junk(bundle, path, j) for j in (None, 3, "x", [], {}, [None], {"x": [1]})]
        for changed in (without(bundle, path), *changes):
            file.write_text(json.dumps(changed))
            try:
                signature.check_signature(opened, public)
                accepted.add(path)
            except Mismatch as e:
                refusals.append(str(e))
    assert all(len(why.splitlines()) == 1 for why in refusals)
    # Names of keys and of logs prove nothing; what is signed, the signature and the form of the bundle do.
    envelope = ("dsseEnvelope",)
    assert envelope not in accepted
    assert ("mediaType",) not in accepted
    assert not {path for path in accepted if path[:2] == (*envelope, "payload")}
    assert not {path for path in accepted if path[-1] in ("sig", "payloadType", "signatures")}


def test_statement_that_was_changed_is_refused_in_each_of_its_places(
    package: Path, keys: Keys
) -> None:
    squeeze.sign(package, keys.private)
    file, opened = package / "model.sig", artifact.open(package)
    bundle = json.loads(file.read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    for path in places(statement):
        for changed in (without(statement, path), with_junk(statement, path, "x")):
            payload = base64.b64encode(json.dumps(changed).encode()).decode()
            file.write_text(json.dumps(with_junk(bundle, ("dsseEnvelope", "payload"), payload)))
            with pytest.raises(Mismatch):
                signature.check_signature(opened, keys.public)


def test_link_to_a_signature_is_refused(package: Path, keys: Keys, tmp_path: Path) -> None:
    squeeze.sign(package, keys.private)
    (package / "model.sig").rename(tmp_path / "elsewhere")
    (package / "model.sig").symlink_to(tmp_path / "elsewhere")
    assert "model.sig: is a link" in refused(package, keys.public)


def test_damaged_package_is_not_signed(package: Path, keys: Keys) -> None:
    (package / "model.onnx").write_bytes(b"modem")
    with pytest.raises(Mismatch, match=r"model\.onnx: the bytes changed"):
        squeeze.sign(package, keys.private)
    assert not (package / "model.sig").exists()


def test_package_that_is_written_anew_is_not_signed_and_that_is_said(
    package: Path, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    squeeze.sign(package, keys.private)
    artifact.write(package, MANIFEST, FILES)
    assert not (package / "model.sig").exists()
    assert f"{package}: was signed, and the package that takes its place is not" in caplog.text


def test_encrypted_key_needs_its_password(package: Path, tmp_path: Path) -> None:
    keys = key_files(tmp_path, "ours", password=b"pass")
    with pytest.raises(ConfigError, match="is encrypted; put its password into"):
        squeeze.sign(package, keys.private)
    with pytest.raises(ConfigError, match="cannot be read with the password"):
        squeeze.sign(package, keys.private, b"other")
    squeeze.sign(package, keys.private, b"pass")
    assert found(package, keys.public)


def test_password_that_a_key_does_not_need_is_not_used(package: Path, keys: Keys) -> None:
    squeeze.sign(package, keys.private, b"pass")
    assert found(package, keys.public)


def test_keys_are_made_as_the_error_says(package: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (tmp_path / "key.pem").write_text("junk")
    with pytest.raises(ConfigError) as e:
        squeeze.sign(package, tmp_path / "key.pem")
    commands = str(e.value).partition("two keys are made by: ")[2]
    subprocess.run(commands, shell=True, check=True, cwd=tmp_path, capture_output=True)
    squeeze.sign(package, tmp_path / "private.pem")
    assert found(package, tmp_path / "public.pem")


Verb = Callable[[Path, Path], object]
SIGN: Verb = squeeze.sign
VERIFY: Verb = lambda package, key: squeeze.verify(package, key=key)  # noqa: E731


@pytest.mark.parametrize("verb", [SIGN, VERIFY], ids=["sign", "verify"])
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("swapped", r"is a (public|private) key; the (private|public) one is wanted"),
        ("rsa", "allowed: elliptic curves P-256, P-384, P-521"),
        ("other-curve", "allowed: elliptic curves P-256, P-384, P-521"),
        ("junk", "no (private|public) key in PEM form; two keys are made by: openssl"),
        ("gone", "cannot be read: No such file"),
        ("folder", "cannot be read: Is a directory"),
    ],
)
def test_wrong_key_is_a_line(
    package: Path, keys: Keys, tmp_path: Path, verb: Verb, kind: str, why: str
) -> None:
    made = keys
    if kind == "rsa":
        made = key_files(tmp_path, kind, rsa.generate_private_key(65537, 2048))
    elif kind == "other-curve":
        made = key_files(tmp_path, kind, ec.generate_private_key(ec.SECP256K1()))
    key = made.private if (verb is SIGN) != (kind == "swapped") else made.public
    if kind == "junk":
        key.write_text("-----BEGIN junk")
    elif kind == "gone":
        key.unlink()
    elif kind == "folder":
        key = tmp_path
    with pytest.raises(ConfigError, match=why) as e:
        verb(package, key)
    assert len(str(e.value).splitlines()) == 1
    assert not (package / "model.sig").exists()


@pytest.mark.parametrize("module", ["model_signing", "OpenSSL"])
@pytest.mark.parametrize("verb", [SIGN, VERIFY], ids=["sign", "verify"])
def test_missing_library_is_said_with_the_command_that_brings_it(
    package: Path, keys: Keys, verb: Verb, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as when there is none
    with pytest.raises(UnsupportedError, match=r"pip install '(model-signing|squeeze\[sign\])"):
        verb(package, keys.private if verb is SIGN else keys.public)


def test_nothing_is_asked_of_the_network(package: Path, keys: Keys) -> None:
    script = (
        "import sys\n"
        "def heard(event, _):\n"
        "    assert event not in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto'), event\n"
        "sys.addaudithook(heard)\n"
        "import squeeze\n"
        f"squeeze.sign({str(package)!r}, {str(keys.private)!r})\n"
        f"print(squeeze.verify({str(package)!r}, key={str(keys.public)!r})[1].found)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("all 5 files signed")
