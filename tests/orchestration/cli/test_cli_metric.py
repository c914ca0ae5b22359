"""``animatic metric`` on files: values, what is printed, and files that are refused."""

import json
import pickle

import numpy as np
import pytest

from pipelines.evaluate.statistics.frechet import frechet_distance
from pipelines.evaluate.statistics.kernel import kernel_distance
from pipelines.evaluate.statistics.moments import Moments
from tests.support.command import fails, run

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(60, 4)), RNG.normal(size=(50, 4)) + 0.5


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", A)
    np.save("b.npy", B)


def printed(*arguments):
    result = run("metric", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(("options", "covariance"), [((), "n"), (("--covariance", "n-1"), "n-1")])
def test_frechet_prints_the_value_with_its_circumstances(options, covariance):
    expected = frechet_distance(Moments.of([A], "a"), Moments.of([B], "b"), covariance)
    assert printed("frechet", "a.npy", "b.npy", *options) == {
        "metric": "frechet",
        "value": pytest.approx(expected, rel=1e-12),
        "low": None,
        "high": None,
        "n_first": 60,
        "n_second": 50,
        "dimension": 4,
        "covariance": covariance,
    }


def test_kernel_prints_the_value_with_its_interval():
    found = printed("kernel", "a.npy", "b.npy")
    assert [found["value"], found["low"], found["high"]] == pytest.approx(kernel_distance(A, B).interval)
    assert found["low"] < found["value"] < found["high"]
    assert found["covariance"] is None


def test_files_of_more_than_one_block_half_precision_and_column_order_are_read():
    large = RNG.normal(size=(2500, 4)).astype(np.float16)
    np.save("large.npy", np.asfortranarray(large))
    expected = frechet_distance(Moments.of([large], "a"), Moments.of([B], "b"))
    assert printed("frechet", "large.npy", "b.npy")["value"] == pytest.approx(expected, rel=1e-9)


def test_text_names_rows_dimension_and_covariance():
    text = run("metric", "frechet", "a.npy", "b.npy").stdout
    assert "60 and 50 rows of dimension 4, covariance over n" in text
    assert "95 % interval" in run("metric", "kernel", "a.npy", "b.npy").stdout


def test_unusable_files_are_refused_with_their_cause(tmp_path):
    np.save("flat.npy", np.zeros(5))
    np.save("words.npy", np.array([["a", "b"]]))
    np.save("complex.npy", np.zeros((3, 4), complex))
    np.save("objects.npy", np.array([[{}, None]], object), allow_pickle=True)
    np.save("one.npy", A[:1])
    np.save("wide.npy", np.zeros((5, 7)))
    np.savez("several.npz", a=A)
    broken = A.copy()
    broken[41, 2] = np.nan
    np.save("nan.npy", broken)
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(A))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-100])
    (tmp_path / "header.npy").write_bytes(b"\x93NUMPY\x01\x00\xff\xff{")
    (tmp_path / "open.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f8',".ljust(118))
    (tmp_path / "folder").mkdir()
    causes = {
        "missing.npy": "missing.npy does not exist",
        "folder": "folder is a folder",
        "pickle.npy": "pickle.npy is not an .npy file",
        "several.npz": "several.npz is not an .npy file",
        "objects.npy": "objects.npy cannot be read (Array can't be memory-mapped: Python objects in dtype)",
        "cut.npy": "cut.npy cannot be read",
        "open.npy": "open.npy cannot be read",
        "header.npy": "header.npy cannot be read",
        "flat.npy": "flat.npy has the shape (5,), not (rows, dimensions)",
        "words.npy": "words.npy contains values of type <U1",
        "complex.npy": "complex.npy contains values of type complex128",
        "one.npy": "at least 2 rows",
        "wide.npy": "4 and 7 dimensions cannot be compared",
        "nan.npy": "nan.npy: row 41 is not finite",
    }
    for name, cause in causes.items():
        for distance in ("frechet", "kernel"):
            fails(cause, "metric", distance, "a.npy", name)


def test_covariance_is_refused_where_it_has_no_effect():
    fails("--covariance is without effect", "metric", "kernel", "a.npy", "b.npy", "--covariance", "n-1")
    fails("is a URL", "metric", "kernel", "https://example.com/a.npy", "b.npy")
