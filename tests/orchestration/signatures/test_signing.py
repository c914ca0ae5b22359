"""Bundles that are not signed, signed by others or changed since are refused, each with the reason."""

import base64
import json
import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from core.errors import AnimaticError
from core.files import sha256
from models.bundle import open_bundle
from orchestration.signatures import (
    open_signed,
    open_trusted,
    private_key,
    public_key,
    public_keys,
    sign_bundle,
)
from tests.support.layouts import hollow_bundle
from tests.support.signing_keys import KeyPair, key_pair, write_pair
from training.config import resolve

PASSWORD = "open sesame"


def small_bundle(folder: Path, size: int = 4) -> None:
    hollow_bundle(folder, {"model.weight": (size,)}, resolve(3, "tiny").model, stage=3, digest=True)


@pytest.fixture(scope="module")
def signed_once(tmp_path_factory) -> tuple[Path, KeyPair]:
    folder = tmp_path_factory.mktemp("signed")
    pair = key_pair(folder / "keys")
    small_bundle(folder / "bundle")
    sign_bundle(open_bundle(folder / "bundle"), private_key(pair.private, None))
    return folder / "bundle", pair


@pytest.fixture
def signed(signed_once, tmp_path) -> tuple[Path, KeyPair]:
    """A bundle of one's own that is signed, and its signer's keys."""
    folder, pair = signed_once
    return Path(shutil.copytree(folder, tmp_path / "bundle")), pair


def refusal(folder: Path, *accepted: Path) -> str:
    with pytest.raises(AnimaticError) as caught:
        open_signed(folder, public_keys(accepted))
    message = str(caught.value)
    assert "\n" not in message
    return message


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name
)
def test_a_signed_bundle_opens_with_its_signers_key_and_keeps_its_id(tmp_path, curve):
    small_bundle(tmp_path / "bundle")
    before = open_bundle(tmp_path / "bundle")
    pair = key_pair(tmp_path / "keys", curve=curve, password=PASSWORD)
    signing = sign_bundle(before, private_key(pair.private, PASSWORD))
    found = open_signed(tmp_path / "bundle", public_keys([key_pair(tmp_path, "other-").public, pair.public]))
    assert found.key == public_key(pair.public)
    assert found.key.fingerprint == signing.fingerprint
    assert found.bundle.id == before.id == open_bundle(tmp_path / "bundle").id


def test_the_librarys_own_verifier_accepts_the_folder(signed):
    from model_signing import verifying

    folder, pair = signed
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=pair.public)
    verifier.verify(folder, folder / "signature.json")
    flip(folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"Hash mismatch.*model\.safetensors"):
        verifier.verify(folder, folder / "signature.json")


def test_what_the_librarys_own_signer_writes_is_accepted(signed):
    from model_signing import hashing, signing

    folder, pair = signed
    (folder / "signature.json").unlink()
    signer = signing.Config().use_elliptic_key_signer(private_key=pair.private)
    signer.set_hashing_config(hashing.Config()).sign(folder, folder / "signature.json")
    assert open_signed(folder, public_keys([pair.public])).key == public_key(pair.public)


def test_unsigned_wrongly_signed_and_altered_bundles_are_refused_in_this_order(signed, tmp_path):
    folder, pair = signed
    other = key_pair(tmp_path / "other")
    flip(folder / "model.safetensors")
    assert refusal(folder, pair.public) == (
        f"model.safetensors of bundle {folder} was changed after it was signed: restore it from a copy"
    )
    assert refusal(folder, other.public).startswith(
        f"bundle {folder} is signed by key {public_key(pair.public).short}, which is not accepted; accepted: "
        f"{public_key(other.public).short}"
    )
    (folder / "signature.json").unlink()
    assert refusal(folder, pair.public).startswith(
        f"bundle {folder} is not signed, but a signature is required"
    )


@pytest.mark.parametrize("name", ["bundle.json", "model.safetensors", "README.md"])
def test_a_changed_file_is_named(signed, name):
    folder, pair = signed
    flip(folder / name)
    assert refusal(folder, pair.public).startswith(
        f"{name} of bundle {folder} was changed after it was signed"
    )


def test_weights_and_description_changed_together_are_noticed(signed):
    folder, pair = signed
    flip(folder / "model.safetensors")
    document = json.loads((folder / "bundle.json").read_text())
    document["files"]["model.safetensors"] = sha256(folder / "model.safetensors")
    (folder / "bundle.json").write_text(json.dumps(document))
    open_bundle(folder)
    assert refusal(folder, pair.public).startswith("bundle.json of bundle")


def test_the_signature_of_another_bundle_is_refused(signed, tmp_path):
    folder, pair = signed
    small_bundle(tmp_path / "another", size=5)
    shutil.copy(folder / "signature.json", tmp_path / "another" / "signature.json")
    assert "signature.json is another bundle's" in refusal(tmp_path / "another", pair.public)


@pytest.mark.parametrize("name", ["bundle.json", "model.safetensors", "README.md"])
def test_a_missing_file_is_named(signed, name):
    folder, pair = signed
    (folder / name).unlink()
    assert f"{name} is missing" in refusal(folder, pair.public)


@pytest.mark.parametrize("name", ["extra.py", ".hidden", "model.safetensors.bak"])
def test_a_file_that_no_signature_covers_is_refused(signed, name):
    folder, pair = signed
    (folder / name).write_text("x")
    assert refusal(folder, pair.public).startswith(f"{folder / name} is not part of a bundle")
    with pytest.raises(AnimaticError, match="not part of a bundle"):
        sign_bundle(open_bundle(folder), private_key(pair.private, None))


@pytest.mark.parametrize("name", ["signature.json", "model.safetensors", "README.md"])
def test_links_are_refused(signed, tmp_path, name):
    folder, pair = signed
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    assert refusal(folder, pair.public).startswith(f"{folder / name} is a symbolic link")


def stored(folder: Path) -> dict:
    return json.loads((folder / "signature.json").read_text())


def store(folder: Path, document: object) -> None:
    (folder / "signature.json").write_text(json.dumps(document))


def changed_payload(document: dict, **changes: object) -> dict:
    envelope = document["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    for resource in statement["predicate"]["resources"]:
        resource.update(changes)
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return document


def test_a_changed_signature_is_never_accepted(signed, tmp_path):
    folder, pair = signed
    original = stored(folder)
    store(folder, changed_payload(stored(folder), digest="0" * 64))
    assert "was changed after it was written, or is forged" in refusal(folder, pair.public)
    claimed = stored(folder) | {"verificationMaterial": original["verificationMaterial"]}
    forger = key_pair(tmp_path / "forger")
    (folder / "signature.json").unlink()
    sign_bundle(open_bundle(folder), private_key(forger.private, None))
    store(folder, stored(folder) | {"verificationMaterial": claimed["verificationMaterial"]})
    assert "was changed after it was written, or is forged" in refusal(folder, pair.public)
    store(folder, original)
    open_signed(folder, public_keys([pair.public]))


def test_no_flipped_bit_of_a_signature_lets_another_bundle_in(signed, tmp_path):
    """A flip may hit what nothing depends on, as a field that is not read; the bundle is then the same."""
    folder, pair = signed
    content = (folder / "signature.json").read_bytes()
    bundle_id, accepted = open_bundle(folder).id, public_keys([pair.public])
    refused = 0
    for position in range(0, len(content), max(1, len(content) // 60)):
        damaged = bytearray(content)
        damaged[position] ^= 1
        (folder / "signature.json").write_bytes(damaged)
        try:
            assert open_signed(folder, accepted).bundle.id == bundle_id
        except AnimaticError:
            refused += 1
    assert refused > 50


WITHOUT = {
    "empty": b"",
    "text": b"signed, honestly",
    "not UTF-8": b"\xff\xfe\x00",
    "a list": b"[]",
    "null": b"null",
    "other JSON": b'{"mediaType": "application/json"}',
    "deep": b"[" * 100_000,
    "truncated": b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verif',
}


@pytest.mark.parametrize("content", WITHOUT.values(), ids=WITHOUT)
def test_a_file_that_is_no_signature_is_refused_and_replaced_only_on_request(signed, content):
    folder, pair = signed
    (folder / "signature.json").write_bytes(content)
    assert refusal(folder, pair.public).startswith(
        f"{folder / 'signature.json'} is not a signature of a model"
    )
    key = private_key(pair.private, None)
    with pytest.raises(AnimaticError, match="is not a signature of a model"):
        sign_bundle(open_bundle(folder), key)
    sign_bundle(open_bundle(folder), key, replace=True)
    open_signed(folder, public_keys([pair.public]))


def test_a_huge_signature_is_not_read(signed):
    folder, pair = signed
    os.truncate(folder / "signature.json", 1 << 40)
    assert "it has more than 1 MiB" in refusal(folder, pair.public)


def test_a_signature_of_other_files_or_of_none_is_refused(signed, tmp_path):
    from model_signing import hashing, signing

    folder, pair = signed
    (folder / "signature.json").unlink()
    config = hashing.Config().set_ignored_paths(paths=["model.safetensors"])
    signer = signing.Config().use_elliptic_key_signer(private_key=pair.private).set_hashing_config(config)
    signer.sign(folder, tmp_path / "signature.json")
    shutil.copy(tmp_path / "signature.json", folder)
    assert "covers other files than those of a bundle" in refusal(folder, pair.public)
    (tmp_path / "nothing").mkdir()
    signing.Config().use_elliptic_key_signer(private_key=pair.private).sign(
        tmp_path / "nothing", folder / "signature.json"
    )
    assert "covers other files than those of a bundle" in refusal(folder, pair.public)


def test_another_key_replaces_a_signature_only_on_request(signed, tmp_path):
    folder, pair = signed
    other = key_pair(tmp_path / "other")
    before = (folder / "signature.json").read_bytes()
    with pytest.raises(AnimaticError, match=f"signed by key {public_key(pair.public).short}: add --replace"):
        sign_bundle(open_bundle(folder), private_key(other.private, None))
    assert (folder / "signature.json").read_bytes() == before
    assert sign_bundle(open_bundle(folder), private_key(pair.private, None)).replaced is not None
    signing = sign_bundle(open_bundle(folder), private_key(other.private, None), replace=True)
    assert signing.replaced == public_key(pair.public).fingerprint
    assert open_signed(folder, public_keys([other.public])).key == public_key(other.public)


def test_keys_that_cannot_be_used_are_named_with_the_reason(tmp_path):
    pair, locked = key_pair(tmp_path), key_pair(tmp_path, "locked-", password=PASSWORD)
    with pytest.raises(AnimaticError, match="is encrypted: give its password with --password-file"):
        private_key(locked.private, None)
    with pytest.raises(AnimaticError, match="cannot be decrypted: the password is wrong") as caught:
        private_key(locked.private, "guess")
    assert "guess" not in str(caught.value)
    assert PASSWORD not in repr(private_key(locked.private, PASSWORD))
    with pytest.raises(AnimaticError, match="is not encrypted, but a password is given"):
        private_key(pair.private, PASSWORD)
    with pytest.raises(AnimaticError, match="is not a private key"):
        private_key(pair.public, None)
    with pytest.raises(AnimaticError, match="is a private key, which only its owner should have"):
        public_key(pair.private)
    for name, key in (
        ("Ed25519", ed25519.Ed25519PrivateKey.generate()),
        ("RSA", rsa.generate_private_key(65537, 2048)),
    ):
        other = write_pair(key, tmp_path, f"{name}-")
        with pytest.raises(AnimaticError, match=f"is a key of the kind {name}: keys are ECDSA"):
            private_key(other.private, None)
        with pytest.raises(AnimaticError, match=f"is a key of the kind {name}: keys are ECDSA"):
            public_key(other.public)
    curve = key_pair(tmp_path, "bitcoin-", ec.SECP256K1())
    with pytest.raises(AnimaticError, match="is a key on the curve secp256k1: keys are ECDSA"):
        private_key(curve.private, None)
    with pytest.raises(AnimaticError, match="is a key on the curve secp256k1: keys are ECDSA"):
        public_key(curve.public)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 99, b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_a_file_that_is_no_key_is_refused(tmp_path, content):
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(AnimaticError, match="is not a public key in PEM form"):
        public_key(tmp_path / "key.pem")
    with pytest.raises(AnimaticError, match="is not a private key in PEM form"):
        private_key(tmp_path / "key.pem", None)


def test_a_path_without_one_key_is_refused(tmp_path):
    pair = key_pair(tmp_path)
    pair.private.write_bytes(pair.public.read_bytes() * 2)
    with pytest.raises(AnimaticError, match="contains more than one key"):
        public_key(pair.private)
    for path, reason in ((tmp_path / "missing.pem", "it does not exist"), (tmp_path, "it is no file")):
        with pytest.raises(AnimaticError, match=f"no key at {path}: {reason}"):
            public_key(path)
    os.truncate(pair.public, 1 << 30)
    with pytest.raises(AnimaticError, match="has more than 64 KiB"):
        public_key(pair.public)


def test_a_machine_that_requires_a_signer_opens_nothing_else(signed, tmp_path, monkeypatch):
    folder, pair = signed
    other = key_pair(tmp_path / "other")
    small_bundle(tmp_path / "unsigned", size=5)
    monkeypatch.delenv("ANIMATIC_REQUIRE_SIGNER", raising=False)
    assert open_trusted(tmp_path / "unsigned").id
    monkeypatch.setenv("ANIMATIC_REQUIRE_SIGNER", f"{other.public}:{pair.public}")
    assert open_trusted(folder).id == open_trusted(folder, [pair.public]).id
    with pytest.raises(AnimaticError, match="is not signed, but a signature is required"):
        open_trusted(tmp_path / "unsigned")
    with pytest.raises(AnimaticError, match="is signed by key"):
        open_trusted(folder, [other.public])
    monkeypatch.setenv("ANIMATIC_REQUIRE_SIGNER", str(other.public))
    with pytest.raises(AnimaticError, match="is signed by key"):
        open_trusted(folder)
    with pytest.raises(AnimaticError, match="is not among the keys of ANIMATIC_REQUIRE_SIGNER"):
        open_trusted(folder, [pair.public])
    monkeypatch.setenv("ANIMATIC_REQUIRE_SIGNER", str(tmp_path / "missing.pem"))
    with pytest.raises(AnimaticError, match=r"no key at .*missing\.pem"):
        open_trusted(folder)
    for nothing in (":", " "):
        monkeypatch.setenv("ANIMATIC_REQUIRE_SIGNER", nothing)
        with pytest.raises(AnimaticError, match="ANIMATIC_REQUIRE_SIGNER names no key"):
            open_trusted(folder)
