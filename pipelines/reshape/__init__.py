"""The job: datasets made of other datasets, by copying samples bit by bit: merge, split, subset, reshard.

A unit of the result is planned from the manifests of the sources alone, and made by copying members from
their tars, on Ray or in this process. What decides a unit is recorded in its manifest, so a job that was
stopped continues, and equal inputs give equal bytes. The package is entered through the names below.
"""

from pipelines.reshape.merging import merge
from pipelines.reshape.parts import Part, parse_part
from pipelines.reshape.plan import ShardSize
from pipelines.reshape.single import Conditions, reshard, split, subset
from pipelines.reshape.work import Execution, ReshapeReport

__all__ = [
    "Conditions",
    "Execution",
    "Part",
    "ReshapeReport",
    "ShardSize",
    "merge",
    "parse_part",
    "reshard",
    "split",
    "subset",
]
