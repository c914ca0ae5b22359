"""Verbs over signatures: sign, verify-signature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.common import AsJson, bundle_fields, local_source, out, print_json, short
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

PANEL = "Promotion"
_Bundle = Annotated[str, typer.Argument(help="Bundle folder, id or alias.")]
_Preset = Annotated[str | None, typer.Option("--preset", help="Where several presets have the alias.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    add_verbs(app, PANEL, (sign, verify_signature))


def sign(
    bundle: _Bundle,
    key: Annotated[
        Path, typer.Option(parser=local_source, metavar="FILE", help="Private key: ECDSA, in PEM form.")
    ],
    password_file: Annotated[
        Path | None,
        typer.Option(
            parser=local_source,
            metavar="FILE",
            help="The key's password; $ANIMATIC_SIGNING_PASSWORD if not given.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a signature by another key, or a damaged one.")
    ] = False,
    preset: _Preset = None,
    as_json: AsJson = False,
) -> None:
    """Sign a bundle with a private key, after verifying it."""
    from orchestration.workflows import signatures
    from orchestration.workspace import Workspace

    options = signatures.SignOptions(bundle, key, preset, password_file, replace)
    result = signatures.sign(options, Workspace.current())
    signing = result.signing
    if as_json:
        fields = bundle_fields(result.bundle.id, result.bundle.folder)
        made = {
            "signature": signing.path,
            "fingerprint": signing.fingerprint,
            "replaced_key": signing.replaced,
        }
        print_json({**fields, **made})
        return
    instead = signing.replaced not in (None, signing.fingerprint)
    replaced = f", replacing the signature by {short(signing.replaced)}" if instead else ""
    out().print(f"bundle {short(result.bundle.id)} signed by key {signing.fingerprint}{replaced}")
    out().print(display_path(signing.path))


def verify_signature(
    bundle: _Bundle,
    key: Annotated[
        list[Path] | None,
        typer.Option(
            parser=local_source,
            metavar="FILE",
            help="Public key that is accepted, repeatable; those of $ANIMATIC_REQUIRE_SIGNER if not given.",
        ),
    ] = None,
    preset: _Preset = None,
    as_json: AsJson = False,
) -> None:
    """Verify that a bundle was signed by an accepted key and has not changed since."""
    from orchestration.workflows import signatures
    from orchestration.workspace import Workspace

    options = signatures.VerifySignatureOptions(bundle, key or (), preset)
    signed = signatures.verify_signature(options, Workspace.current())
    if as_json:
        fields = bundle_fields(signed.bundle.id, signed.bundle.folder)
        print_json({**fields, "key": signed.key.path, "fingerprint": signed.key.fingerprint})
        return
    out().print(
        f"bundle {short(signed.bundle.id)} is signed by key {signed.key.fingerprint} ({signed.key.path}) and "
        "unchanged since"
    )
