"""The head of a model card, by which a model hub finds and describes the model."""

from models.architecture import Architecture

LIBRARY = "animatic"
_TAGS = ("dynamicrafter", "video", "diffusion")


def pipeline_tag(architecture: Architecture) -> str:
    """The hub's name of what a network does."""
    if architecture.context is not None or architecture.unet.detail_guidance:
        return "image-to-video"
    return "text-to-video" if architecture.unet.temporal else "text-to-image"


def card_tags(preset: str) -> list[str]:
    """Words by which the hub finds a model of this preset."""
    return [LIBRARY, *_TAGS, f"animatic-{preset}"]


def card_head(architecture: Architecture, preset: str) -> str:
    """YAML between lines of dashes, with what is known of every bundle; the card's text follows."""
    lines = ["---", f"library_name: {LIBRARY}", f"pipeline_tag: {pipeline_tag(architecture)}", "tags:"]
    lines += [f"- {tag}" for tag in card_tags(preset)]
    return "\n".join([*lines, "---", "", ""])
