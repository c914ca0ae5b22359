"""Everything that has seen a dataset is found: directly, through bundles and checkpoints, finished or not."""

from pathlib import Path

import pytest

from orchestration import registry
from orchestration.lineage import Descendant, seen_by
from pipelines.loader import WeightedDataset
from tests.support.lineages import Workbench, ingested
from tests.support.small_stages import make_bundle


@pytest.fixture(scope="module", name="bench")
def several_runs(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Runs on one dataset, on another, on both, and what follows from them."""
    bench = Workbench(tmp_path_factory.mktemp("seen") / "runs")
    one, other = ingested(bench.root, "one"), ingested(bench.root, "other")
    first, second = WeightedDataset(one).record(), WeightedDataset(other).record()
    urls = [one.url, other.url]
    bench.train("on-one", 1, [first], urls[:1])
    bench.train("on-other", 1, [second], urls[1:])
    bench.train("below", 2, [second], urls[1:], parent="on-one")
    bench.train("mixed", 2, [first, second], urls, parent="on-other", finish=False)
    bench.train("mixed-before", 2, [first, second], urls, parent="on-other", recorded=False)
    bench.train("continues", 2, [second], urls[1:], continued="mixed", finish=False)
    bench.train("validates", 2, [second], urls[1:], sets=(f"validation.data={one.url}",), finish=False)
    make_bundle(bench.root / "loose" / "kept", stage=2, parent=bench.bundle("on-one").id)  # its run is gone
    registry.give_alias(bench.ledger, bench.bundle("below"), "challenger")
    return bench


def seen(bench: Workbench, name: str, digest: str | None = None) -> dict[tuple[str, str], Descendant]:
    """What has seen a dataset, by kind and name; bundles by the name of their run."""
    url = str(bench.root / name)
    found = seen_by([digest or WeightedDataset.open(url).digest], bench.workspace, urls=[url])
    return {(each.kind, _name(each)): each for each in found}


def _name(each: Descendant) -> str:
    return Path(each.where).parent.name if each.kind == "bundle" and each.where else each.name


def test_runs_bundles_and_aliases_that_descend_from_a_dataset_are_found(bench: Workbench) -> None:
    found = seen(bench, "one")
    runs = {name: each.why for (kind, name), each in found.items() if kind == "run"}
    assert runs.keys() == {"on-one", "below", "mixed", "mixed-before", "continues", "validates"}
    assert runs["below"].startswith("started from bundle")
    assert runs["mixed"].startswith("trained on dataset")
    assert runs["continues"] == "continued a checkpoint of mixed"
    assert runs["validates"].startswith("validates on")
    others = {key for key in found if key[0] != "run"}
    assert others == {
        ("bundle", "on-one"),
        ("bundle", "below"),
        ("bundle", "loose"),
        ("bundle", "mixed-before"),
        ("alias", "challenger of tiny"),
    }
    assert all(each.certain for each in found.values())


def test_what_has_not_seen_it_is_not_found(bench: Workbench) -> None:
    names = {name for _, name in seen(bench, "other")}
    assert "on-one" not in names
    assert seen_by(["0" * 64], bench.workspace) == []


def test_runs_on_another_state_of_the_dataset_may_have_seen_it(bench: Workbench) -> None:
    found = seen(bench, "one", digest="0" * 64)
    runs = {name: each.certain for (kind, name), each in found.items() if kind == "run"}
    assert runs == {
        "on-one": False,
        "below": False,
        "mixed": False,
        "mixed-before": False,
        "continues": False,
        "validates": True,
    }
    assert not found["alias", "challenger of tiny"].certain


def test_reports_latents_and_exports_follow_from_bundles_and_digests(whole: Workbench) -> None:
    first = WeightedDataset.open(whole.root / "first").digest
    kinds = [each.kind for each in seen_by([first], whole.workspace)]
    assert kinds.count("latents") == 1 and kinds.count("report") == 2
    assert kinds.count("export") == kinds.count("deployment") == 1
    assert kinds == sorted(
        kinds, key=["latents", "run", "bundle", "report", "alias", "export", "deployment"].index
    )
