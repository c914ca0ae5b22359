"""The licence identifiers that the Hugging Face hub accepts in a card (hub documentation, "Licenses")."""

import difflib

UNKNOWN, OTHER = "unknown", "other"
_LISTED = f"""
{UNKNOWN} {OTHER}
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc
cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0
cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0
eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research
lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql
ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license fair-noncommercial-research-license
llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma
"""
HUB_LICENCES = tuple(_LISTED.split())


def hub_licence(name: str) -> str:
    """The hub's identifier of a licence, which SPDX may write with capitals.

    Raises ValueError, with the nearest one, if the hub has none of this name.
    """
    found = name.lower()
    if found not in HUB_LICENCES:
        near = difflib.get_close_matches(found, HUB_LICENCES, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]!r}? Otherwise " if near else ""
        raise ValueError(
            f"the hub knows no licence of this name: {meant}set license: other, license_name and license_link"
        )
    return found
