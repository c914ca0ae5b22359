"""Every configuration key × bad values: a configuration that can be recorded, or an error of one line."""

import random

import pytest
from pydantic import BaseModel

from core.config.keys import flatten
from core.config.validation import configure
from core.errors import AnimaticError
from pipelines.encode import EncodeConfig
from pipelines.evaluate import EvaluateConfig
from pipelines.ingest import IngestConfig
from training.config import config_hash, resolve
from training.config.run import dump_yaml

VALUES = (
    "-1", "0", ".nan", ".inf", "1e400", "", '" "', "9223372036854775808", "[x]", "{a: 1}", "null", "true",
    "../..", '"a\\0b"', '"\\ud800"', "[]", "{}", "[[1, 2], [3]]", "2001-01-01",
    "!!python/object:os.system x", "*x", "&a [*a]",
)  # fmt: skip
RUN = resolve(3, "tiny")
JOBS = {
    IngestConfig: {"source": "a", "output": "b"},
    EncodeConfig: {"dataset": "a", "output": "b", "height": 64, "width": 64, "codec": RUN.model.codec},
    EvaluateConfig: {"data": "a", "output": "b", "sampling": RUN.validation.sampling},
}


def problem(key: str, text: str, job: type[BaseModel] | None) -> str | None:
    """What is wrong with the outcome."""
    try:
        if job is None:
            config = resolve(3, "tiny", [f"{key}={text}"])
            assert dump_yaml(config)
            assert config_hash(config)
        else:
            configure(job, values=JOBS[job], sets=[f"{key}={text}"]).model_dump_json()
    except AnimaticError as error:
        return f"{key}={text}: several lines" if "\n" in str(error) else None
    return f"{key}={text}: accepted" if text in (".nan", ".inf", '"a\\0b"', "[[1, 2], [3]]") else None


@pytest.mark.parametrize("job", [None, *JOBS])
def test_a_bad_value_of_any_key_is_refused_in_one_line(job: type[BaseModel] | None) -> None:
    """A sample of the values for each key, the same in every run."""
    config = RUN if job is None else configure(job, values=JOBS[job])
    chosen = random.Random(0)
    cases = [(key, text) for key in flatten(config.model_dump()) for text in chosen.sample(VALUES, 2)]
    assert [found for key, text in cases if (found := problem(key, text, job))] == []
