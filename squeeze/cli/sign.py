"""`squeeze sign`: who made this package?"""

from __future__ import annotations

import os

import click

from squeeze.cli import options
from squeeze.cli.answer import Answer


@click.command("sign", short_help="Sign a package with a private key.")
@click.argument("package", type=click.Path())
@click.option(
    "--key",
    required=True,
    type=click.Path(),
    help="The private key (PEM; P-256, P-384 or P-521).",
)
@options.as_json
def sign_command(package: str, key: str, as_json: bool) -> Answer:
    """Sign all files of a PACKAGE: an OpenSSF Model Signing bundle, model.sig, in it.

    `squeeze verify PACKAGE --key PUBLIC` checks it, and so does `model_signing verify key`. The password of an
    encrypted key is read from the environment variable SQUEEZE_KEY_PASSWORD.
    """
    from squeeze.signature import sign_package

    password = os.environ.get("SQUEEZE_KEY_PASSWORD")
    file = sign_package(package, key, None if password is None else password.encode())
    if not as_json:
        click.echo(f"{file}: signed with {key}; squeeze verify {package} --key PUBLIC checks it")
    return Answer({"package": package, "signature": str(file)})
