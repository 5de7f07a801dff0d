"""Licences by their SPDX expressions: `Apache-2.0`, `MIT OR Apache-2.0`, `LicenseRef-Ours` for one of your own."""

from __future__ import annotations

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from squeeze.errors import ConfigError


def spdx(where: str, text: str) -> str:
    """`text` as SPDX spells it. Raises ConfigError, which begins with `where`, for what is no such expression."""
    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression as e:
        raise ConfigError(
            f"{where}: got '{text}', allowed: an SPDX expression, such as Apache-2.0, 'MIT OR Apache-2.0', or "
            f"LicenseRef-NAME for a licence of your own ({str(e)[:120]})"
        ) from e
