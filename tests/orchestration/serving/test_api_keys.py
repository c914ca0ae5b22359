"""API keys: what is stored of them, who they let in, and where a service may listen without them."""

import json
import logging
import threading
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from core.errors import AnimaticError
from orchestration.serving.access import Access, check_listening, create_key, read_keys, revoke_key
from orchestration.serving.schema import ApiError
from tests.support.command import fails, run


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def refusal(access: Access, headers: dict[str, str]) -> str:
    with pytest.raises(ApiError) as caught:
        access.authenticate(headers)
    return caught.value.code


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_is_printed_once_and_its_digest_alone_is_stored(keys):
    made = json.loads(run("api-key", "create", "ann", "--keys", keys, "--rate", 7, "--json").stdout)
    assert made["name"] == "ann" and len(made["key"]) >= 43
    assert made["key"] not in keys.read_text() and keys.stat().st_mode & 0o777 == 0o600
    caller = Access(keys).authenticate(bearer(made["key"]))
    assert (caller.name, caller.admin, caller.requests_per_minute) == ("ann", False, 7)
    text = run("api-key", "create", "ops", "--keys", keys, "--admin").stdout
    assert Access(keys).authenticate({"x-api-key": text.strip()}).admin
    listed = json.loads(run("api-key", "list", "--keys", keys, "--json").stdout)["keys"]
    assert [(key["name"], key["admin"], "key" in key) for key in listed] == [
        ("ann", False, False),
        ("ops", True, False),
    ]


def test_wrong_uses_of_the_verb_are_refused_in_one_line(keys):
    create_key(keys, "ann")
    fails("the name ann is taken", "api-key", "create", "ann", "--keys", keys)
    fails("the name anonymous is taken", "api-key", "create", "anonymous", "--keys", keys)
    fails("cannot be the name of a key", "api-key", "create", "a b", "--keys", keys)
    fails("has no key 'bob'; its keys are: ann", "api-key", "revoke", "bob", "--keys", keys)
    fails("name the key", "api-key", "revoke", "--keys", keys)
    fails("ann is without effect with list", "api-key", "list", "ann", "--keys", keys)
    fails("--admin is without effect with revoke", "api-key", "revoke", "ann", "--keys", keys, "--admin")
    fails("no API keys at", "api-key", "list", "--keys", keys.with_name("none.json"))
    fails("is not a file of API keys, but a folder", "api-key", "create", "ann", "--keys", keys.parent)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_key"),
        ({"x-api-key": "  "}, "missing_key"),
        ({"authorization": "Bearer "}, "invalid_key"),
        ({"authorization": "Basic YTpi"}, "invalid_key"),
        ({"authorization": "Bearer x"}, "invalid_key"),
        ({"x-api-key": "x" * 100_000}, "invalid_key"),
        ({"x-api-key": "\udcff\x00é"}, "invalid_key"),
        ({"authorization": "Bearer x", "x-api-key": "y"}, "invalid_key"),
    ],
)
def test_what_is_no_key_is_refused(keys, headers, code):
    create_key(keys, "ann")
    assert refusal(Access(keys), headers) == code


def test_a_running_service_learns_of_new_and_revoked_keys(keys):
    secret, _ = create_key(keys, "ann")
    access = Access(keys)
    second, _ = create_key(keys, "bob")
    assert access.authenticate(Headers(bearer(second))).name == "bob"
    revoke_key(keys, "ann")
    assert refusal(access, bearer(secret)) == "invalid_key"


@pytest.mark.parametrize("damage", ["{", '{"version": 2}', '{"keys": [{"name": "a"}]}', "", None])
def test_a_file_that_is_damaged_later_leaves_the_former_keys_valid(keys, caplog, damage):
    secret, _ = create_key(keys, "ann")
    access = Access(keys)
    if damage is None:
        keys.unlink()
    else:
        keys.write_text(damage)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert access.authenticate(bearer(secret)).name == "ann"
    assert len(caplog.records) == 1 and "stay valid" in caplog.text
    with pytest.raises(AnimaticError, match=r"api-key create|not a file of API keys"):
        Access(keys)


def test_a_file_that_others_can_read_is_logged(keys, caplog):
    create_key(keys, "ann")
    keys.chmod(0o644)
    Access(keys)
    assert "mode 644" in caplog.text


def test_keys_that_are_created_at_once_are_all_kept(keys):
    threads = [threading.Thread(target=create_key, args=(keys, f"user{n}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_keys(keys).keys) == 8


def test_without_keys_a_service_listens_to_this_machine_alone(keys):
    for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"):
        check_listening(host, None)
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "127.0.0.1.nip.io"):
        with pytest.raises(AnimaticError, match="animatic api-key create NAME --keys FILE"):
            check_listening(host, None)
        check_listening(host, keys)
    assert not Access(None).required and Access(None).authenticate({}).name == "anonymous"
