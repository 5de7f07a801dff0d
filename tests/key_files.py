"""Pairs of keys as files, for tests of signatures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True)
class Keys:
    private: Path
    public: Path


def key_files(
    folder: Path,
    name: str,
    private: Any = None,  # Any: a key of any kind
    password: bytes | None = None,
) -> Keys:
    """Writes `private`, or a new one on P-256, and its public half."""
    private = ec.generate_private_key(ec.SECP256R1()) if private is None else private
    encryption: Any = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    keys = Keys(folder / f"{name}.pem", folder / f"{name}.pub.pem")
    keys.private.write_bytes(private.private_bytes(pem, form, encryption))
    keys.public.write_bytes(private.public_key().public_bytes(pem, public))
    return keys
