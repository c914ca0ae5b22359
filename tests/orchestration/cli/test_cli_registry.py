"""``registry`` lists, filters, verifies and logs; ``promote --to`` and ``withdraw`` change aliases."""

import json
import shutil
from pathlib import Path

import pytest

from models.bundle import open_bundle
from orchestration.registry import Ledger
from orchestration.workspace import Workspace
from tests.support.command import fails, run
from tests.support.promotions import GATE, evaluated
from tests.support.small_stages import make_bundle


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with two bundles, of which the first is champion and the second challenger."""
    folder = tmp_path_factory.mktemp("registry")
    for seed, name in enumerate(("one", "two")):
        make_bundle(folder / "runs" / name, seed=seed)
        evaluated(open_bundle(folder / "runs" / name), Workspace(folder / "runs"))
    (folder / "gate.yaml").write_text(GATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestration.registry.mirror_change", lambda *_: None)
        patch.chdir(folder)
        patch.delenv("ANIMATIC_RUNS", raising=False)
        assert run("promote", "runs/one", "--gate", "gate.yaml", "--actor", "ann").exit_code == 0
        assert run("promote", "runs/two", "--to", "challenger", "--note", "faster").exit_code == 0
    return folder


@pytest.fixture
def ids(world: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A copy of it: the ids of the bundles by the names of their folders."""
    monkeypatch.setattr("orchestration.registry.mirror_change", lambda *_: None)
    shutil.copytree(world, here, dirs_exist_ok=True)
    return {name: open_bundle(here / "runs" / name, verify=False).id for name in ("one", "two")}


def listed(*options: str) -> list[tuple[str, str]]:
    result = run("registry", *options, "--json")
    assert result.exit_code == 0, result.output
    return [(entry["kind"], entry["bundle_id"]) for entry in json.loads(result.stdout)["entries"]]


def test_entries_are_filtered_and_aliases_are_named(ids: dict[str, str]) -> None:
    one, two = ids["one"], ids["two"]
    everything = [("accepted", one), ("promoted", one), ("accepted", two), ("promoted", two)]
    assert listed() == listed("list") == listed("--stage", "3", "--preset", "tiny") == everything
    assert listed("--kind", "accepted") == [("accepted", one), ("accepted", two)]
    assert listed("--alias", "challenger") == listed("--bundle", "challenger", "--kind", "promoted")
    assert listed("--bundle", one[:10]) == listed("--bundle", "runs/one") == everything[:2]
    assert listed("--stage", "2") == listed("--alias", "nightly") == []
    table = run("registry").stdout.splitlines()
    assert [line.split()[1:3] for line in table if one[:12] in line][1] == ["promoted", one[:12]]
    assert any("promoted challenger" in line and line.endswith("challenger") for line in table)
    assert any("champion, gate passed" in line for line in table)
    document = json.loads(run("registry", "--json").stdout)
    assert {alias: entry["bundle_id"] for alias, entry in document["aliases"]["tiny"].items()} == {
        "champion": one,
        "challenger": two,
    }
    fails("previous follows from promotions", "registry", "--alias", "previous")
    fails("--at is without effect with list", "registry", "--at", "x")
    fails("two is without effect with list: use --bundle two", "registry", "list", "two")


def test_an_alias_names_a_bundle_for_other_verbs(ids: dict[str, str]) -> None:
    log = json.loads(run("registry", "log", "challenger", "--json").stdout)
    assert (log["bundle_id"], log["held"], log["withdrawn"]) == (ids["two"], ["challenger"], False)
    assert [entry["kind"] for entry in log["entries"]] == ["accepted", "promoted"]
    promoted = run("promote", "challenger", "--gate", "gate.yaml")
    assert promoted.exit_code == 0, promoted.output
    assert f"champion of tiny: {ids['two'][:12]} (stage 3), replacing {ids['one'][:12]}" in promoted.stdout
    text = run("registry", "log", "previous").stdout
    assert f"bundle {ids['one']} in runs/one: previous" in text
    assert all(line.split()[-1] == "runs/one" for line in text.splitlines() if " accepted " in line)
    back = run("rollback")
    assert f"champion of tiny: {ids['one'][:12]} again, replacing {ids['two'][:12]}\n" in back.stdout
    fails("name the bundle, as in `animatic registry log champion`", "registry", "log")
    fails("neither a bundle folder nor the id of a bundle", "registry", "log", "nowhere")


def test_export_checkpoint_and_encode_take_an_alias_or_an_id(ids: dict[str, str]) -> None:
    for name in ("challenger", ids["one"][:9]):
        # It was found: what follows concerns its architecture.
        fails("this architecture's codec is conv", "export-checkpoint", name, "--as", "dynamicrafter")
    encode = ("encode", "data", "--to", "latents", "--bundle")
    fails("nowhere' is neither a bundle folder nor", *encode, "nowhere")
    fails("has no previous", *encode, "previous")


def test_another_alias_takes_no_report_and_is_given_once(ids: dict[str, str]) -> None:
    again = run("promote", "runs/two", "--to", "challenger")
    assert (again.exit_code, "is challenger already" in again.stderr) == (0, True)
    judged = ("--to", "nightly", "--gate", "gate.yaml")
    fails("--gate is without effect with --to nightly", "promote", "runs/two", *judged)
    fails("'Nightly' cannot be an alias", "promote", "runs/two", "--to", "Nightly")
    fails("cannot be set: `animatic rollback`", "promote", "runs/two", "--to", "previous")


def test_a_withdrawal_needs_a_reason_and_force_for_aliases(ids: dict[str, str]) -> None:
    assert run("withdraw", "runs/two").exit_code == 2
    removing = (
        "is challenger of preset tiny: remove it from there first (`--from challenger`), or pass --force"
    )
    fails(removing, "withdraw", "runs/two", "--reason", "bad")
    both = ("--from", "challenger", "--force", "--reason", "bad")
    fails("--force is without effect with --from", "withdraw", "runs/two", *both)
    removed = run("withdraw", "challenger", "--from", "challenger", "--reason", "bad")
    assert removed.stdout == f"{ids['two'][:12]} is no longer challenger of tiny\n"
    entry = json.loads(run("withdraw", "champion", "--reason", "licence", "--force", "--json").stdout)
    assert (entry["kind"], entry["alias"], entry["note"]) == ("withdrawn", "", "licence")
    fails("has no champion", "withdraw", "champion", "--reason", "again")
    fails("was withdrawn from use", "promote", "runs/one", "--gate", "gate.yaml")
    assert "withdrawn, gate passed" in run("registry").stdout
    assert "withdrawn from use\n" in run("registry", "log", ids["one"]).stdout
    deployed = run("registry", "record-deployment", ids["one"], "--at", "https://host/v1")
    assert (deployed.exit_code, "was withdrawn from use (licence)" in deployed.stderr) == (0, True)


def test_a_deployment_is_recorded_with_its_url_but_no_password(ids: dict[str, str]) -> None:
    fails("name what serves the bundle: --at URL", "registry", "record-deployment", "champion")
    result = run("registry", "record-deployment", "champion", "--at", "https://me:hunter2@host/v1", "--json")
    entry = json.loads(result.stdout)
    assert (entry["kind"], entry["bundle_id"], entry["location"]) == (
        "deployed",
        ids["one"],
        "https://host/v1",
    )
    assert "https://host/v1" in run("registry", "--kind", "deployed").stdout


def test_verification_prints_a_line_for_each_problem_and_exits_with_1(
    ids: dict[str, str], here: Path
) -> None:
    intact = json.loads(run("registry", "verify", "--json").stdout)
    assert (intact["total"], intact["problems"], intact["remarks"]) == (4, [], [])
    head = intact["head"]
    assert run("registry", "verify", "--expect-head", head).stdout.endswith(f"4 entries, head {head}\n")
    fails("'0' is not the hash of an entry", "registry", "verify", "--expect-head", "0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANIMATIC_REGISTRY", str(here / "mistyped"))
        assert "nothing has been recorded" in run("registry", "verify").stderr
    missing = run("registry", "verify", "--expect-head", "0" * 64)
    assert (missing.exit_code, missing.stdout.count("\n")) == (1, 1)

    ledger = here / "runs" / "ledger.jsonl"
    with ledger.open("ab") as file:
        file.write(b'{"format":2,"id":"ab')
    torn = run("registry", "verify")
    assert (torn.exit_code, "ends within an entry" in torn.stderr) == (0, True)

    gate = Ledger(here / "runs").entries()[1].gate
    (here / "runs" / "promotions" / f"gate-{gate.gate}.json").write_text("{}")
    ledger.write_bytes(ledger.read_bytes().replace(b'"faster"', b'"slower"') + b"\n")
    damaged = run("registry", "verify")
    assert damaged.exit_code == 1
    problems = damaged.stdout.splitlines()
    assert problems[:2] == ["line 4 does not match its own hash", "line 5 is not a ledger entry"]
    assert [line for line in problems[2:] if "does not match its digest" in line] == problems[2:]
    assert "damaged: 3 problems" in damaged.stderr
    fails("cannot be trusted: line 4 does not match its own hash", "registry")
