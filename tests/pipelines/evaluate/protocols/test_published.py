"""Published figures: each with its source, for the protocol that it was measured by."""

from pipelines.evaluate.protocols.published import PUBLISHED, published_figures


def test_every_published_figure_names_its_source_once():
    for figure in PUBLISHED:
        assert figure.url.startswith("https://")
        assert figure.source
        assert figure.note
    identities = [(f.dataset, f.system, f.metric, f.note, f.url) for f in PUBLISHED]
    assert len(set(identities)) == len(identities)


def test_figures_belong_to_their_protocol_alone():
    assert {figure.dataset for figure in published_figures("ucf101")} == {"ucf101"}
    assert "I2VGen-XL" in {figure.system for figure in published_figures("msrvtt")}
    assert published_figures("held-out") == ()
