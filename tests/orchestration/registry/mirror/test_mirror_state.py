"""What MLflow's registry should contain follows from the ledger alone."""

from orchestration.registry.gate_record import CheckRecord, GateRecord
from orchestration.registry.mirror import desired_state
from tests.support.ledgers import event, history

GATE = GateRecord(
    outcome="PASS",
    gate="1" * 64,
    gate_name="256",
    report="2" * 64,
    champion_bundle="a" * 64,
    checks=(CheckRecord(kind="margin", name="pic", outcome="PASS", text="+0.1 | not worse"),),
)


def test_a_model_for_each_preset_has_its_promoted_bundles_in_order_and_its_aliases(tmp_path):
    state = desired_state(
        history(
            tmp_path,
            event("accepted", "d"),
            event("promoted", "a", forced="first"),
            event("promoted", "b", gate=GATE),
            event("promoted", "c", alias="challenger"),
            event("promoted", "e", preset="256", forced="published"),
        )
    )
    large, tiny = state.models
    assert (large.name, tiny.name) == ("animatic-256", "animatic-tiny")
    assert [version.bundle_id[0] for version in tiny.versions] == ["a", "b", "c"]
    assert tiny.aliases == {"champion": "b" * 64, "previous": "a" * 64, "challenger": "c" * 64}
    assert large.aliases == {"champion": "e" * 64}


def test_tags_and_description_record_how_it_was_decided_and_what_became_of_it(tmp_path):
    state = desired_state(
        history(
            tmp_path,
            event("promoted", "a", forced="published\nweights"),
            event("promoted", "b", gate=GATE, note="sharper"),
            event("exported", "b", location="s3://models/champion.json", digest="f" * 64),
            event("deployed", "b", location="https://serving.example"),
            event("withdrawn", "a", note="licence"),
        )
    )
    first, second = state.models[0].versions
    assert first.tags == {
        "bundle.id": "a" * 64,
        "stage": "3",
        "preset": "tiny",
        "forced": "published\nweights",
        "withdrawn": "licence",
    }
    assert "promoted to champion, forced: published weights" in first.description
    assert second.tags["gate"] == "PASS"
    assert second.tags["exported"] == "s3://models/champion.json"
    assert second.tags["deployed"] == "https://serving.example"
    assert "| margin | pic | PASS | +0.1 \\| not worse |" in second.description
    assert f"promotions/report-{'2' * 64}.json" in second.description
    assert "exported at s3://models/champion.json" in second.description
    assert "(sharper)" in second.description


def test_a_long_reason_is_cut_at_what_every_database_of_mlflow_stores(tmp_path):
    (model,) = desired_state(history(tmp_path, event("promoted", "a", forced="x" * 9000))).models
    assert len(model.versions[0].tags["forced"]) == len(model.versions[0].description) == 5000


def test_a_ledger_without_promotions_has_no_models(tmp_path):
    assert desired_state(history(tmp_path, event("accepted", "a"))).models == ()
