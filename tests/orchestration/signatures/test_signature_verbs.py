"""`sign`, `verify-signature` and `--require-signer`, through the command."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import AnimaticError
from models.bundle import open_bundle
from orchestration import registry
from orchestration.workspace import Workspace
from tests.support.command import fails, run
from tests.support.paths import ROOT
from tests.support.signing_keys import KeyPair, key_pair
from tests.support.small_stages import make_bundle

PASSWORD = "open sesame"
VARIABLES = ("ANIMATIC_RUNS", "ANIMATIC_REGISTRY", "ANIMATIC_REQUIRE_SIGNER", "ANIMATIC_SIGNING_PASSWORD")


def promote(folder: Path) -> None:
    bundle = open_bundle(folder)
    registry.promote(Workspace.current().ledger, bundle, lambda _: registry.Grounds(forced="a test"))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A working folder whose champion is the unsigned bundle `runs/a`, and the bundle `b`."""
    folder = tmp_path_factory.mktemp("made")
    for seed, name in enumerate(("runs/a", "b")):
        make_bundle(folder / name, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in VARIABLES:
            patch.delenv(name, raising=False)
        promote(Path("runs/a"))
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    """A copy of it."""
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(made / "runs", tmp_path / "runs")
    return tmp_path


@pytest.fixture
def keys(tmp_path) -> KeyPair:
    return key_pair(tmp_path)


def test_a_bundle_is_signed_and_verified_by_alias_id_and_folder(here, keys):
    found = json.loads(run("sign", "champion", "--key", keys.private, "--json").stdout)
    bundle_id = open_bundle(here / "runs" / "a").id
    assert found["bundle_id"] == bundle_id
    assert Path(found["signature"]).resolve() == here / "runs" / "a" / "signature.json"
    assert found["replaced_key"] is None
    for name in ("champion", bundle_id[:10], "runs/a"):
        verified = json.loads(run("verify-signature", name, "--key", keys.public, "--json").stdout)
        assert (verified["bundle_id"], verified["fingerprint"]) == (bundle_id, found["fingerprint"])
    text = run("verify-signature", "runs/a", "--key", keys.public).stdout
    assert text.startswith(f"bundle {bundle_id[:12]} is signed by key {found['fingerprint']} ({keys.public})")


def test_the_password_comes_from_a_file_or_the_environment_and_is_not_repeated(here, monkeypatch):
    keys = key_pair(here, password=PASSWORD)
    fails("is encrypted: give its password", "sign", "runs/a", "--key", keys.private)
    (here / "password").write_text(PASSWORD + "\n")
    signed = run("sign", "runs/a", "--key", keys.private, "--password-file", here / "password")
    assert signed.exit_code == 0
    assert PASSWORD not in signed.output
    (here / "runs" / "a" / "signature.json").unlink()
    monkeypatch.setenv("ANIMATIC_SIGNING_PASSWORD", PASSWORD)
    assert run("sign", "runs/a", "--key", keys.private).exit_code == 0
    fails("missing cannot be read", "sign", "runs/a", "--key", keys.private, "--password-file", "missing")


def test_a_damaged_bundle_is_not_signed(here, keys):
    weights = here / "runs" / "a" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    fails("model.safetensors does not match its recorded sha256", "sign", "runs/a", "--key", keys.private)
    assert not (here / "runs" / "a" / "signature.json").exists()


def test_without_a_key_nothing_is_verified(here, keys, monkeypatch):
    fails("no key to accept: name the signer's with --key public.pem", "verify-signature", "runs/a")
    run("sign", "runs/a", "--key", keys.private)
    monkeypatch.setenv("ANIMATIC_REQUIRE_SIGNER", str(keys.public))
    assert run("verify-signature", "runs/a").exit_code == 0


def test_animate_refuses_what_the_required_signer_has_not_signed(here, keys):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(here / "still.png")
    animate = ("animate", "still.png", "a ball", "--steps", "1", "--require-signer", keys.public)
    fails("is not signed, but a signature is required", *animate)
    run("sign", "champion", "--key", key_pair(here / "other").private)
    fails("which is not accepted", *animate)
    run("sign", "champion", "--key", keys.private, "--replace")
    result = run(*animate)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "verb",
    [
        ("animate", "still.png", "a ball"),
        ("evaluate", "data"),
        ("promote", "runs/b"),
        ("export-checkpoint", "runs/a", "--as", "dynamicrafter"),
        ("encode", "data", "--to", "latents", "--bundle", "runs/a"),
        ("train", "--stage", "3", "--preset", "tiny", "--data", "data", "--set", "init.parent=runs/a"),
    ],
    ids=lambda verb: verb[0],
)
def test_a_machine_that_requires_a_signer_uses_no_unsigned_bundle(made, here, keys, monkeypatch, verb):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(here / "still.png")
    shutil.copytree(made / "b", here / "runs" / "b")
    monkeypatch.setenv("ANIMATIC_REQUIRE_SIGNER", str(keys.public))
    fails("is not signed, but a signature is required", *verb)


def test_a_rollback_to_an_unsigned_bundle_is_refused_where_a_signer_is_required(
    made, here, keys, monkeypatch
):
    shutil.copytree(made / "b", here / "runs" / "b")
    promote(here / "runs" / "b")
    monkeypatch.setenv("ANIMATIC_REQUIRE_SIGNER", str(keys.public))
    ledger = Workspace.current().ledger
    with pytest.raises(AnimaticError, match="is not signed, but a signature is required"):
        registry.rollback(ledger)
    assert run("sign", "previous", "--key", keys.private).exit_code == 0
    assert registry.rollback(ledger).bundle_id == open_bundle(here / "runs" / "a").id


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_commands_of_the_page_sign_verify_and_use_a_bundle(here):
    section = (
        (ROOT / "docs" / "registry.md").read_text().partition("\n## Signatures\n")[2].partition("\n## ")[0]
    )
    lines = [
        line for block in re.findall(r"^```\n(.*?)^```$", section, re.M | re.S) for line in block.splitlines()
    ]
    assert [line.split()[0] for line in lines].count("openssl") == 2
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(here / "my.png")
    for line in lines:
        program, *words = shlex.split(line)
        if program == "openssl":
            subprocess.run([program, *words], cwd=here, check=True, capture_output=True)
        else:
            steps = ("--steps", 1) if words[0] == "animate" else ()
            result = run(*words, *steps)
            assert result.exit_code == 0, result.output
    fingerprint = subprocess.run(
        ["sha256sum", "public.pem"], cwd=here, check=True, capture_output=True
    ).stdout.split()[0]
    assert fingerprint.decode() in run("verify-signature", "champion", "--key", "public.pem").stdout
