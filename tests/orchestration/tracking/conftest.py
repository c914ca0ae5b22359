"""An MLflow store for the module: making its tables is what takes time."""

import pytest
from mlflow import MlflowClient


@pytest.fixture(scope="package")
def empty_store(tmp_path_factory):
    """The file of an MLflow store without experiments of our own; copy it."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path
