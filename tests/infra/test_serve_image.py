"""The image of the service: smaller than that of jobs, and complete for what it serves."""

import json

import pytest

from tests.support.images import REVISION, SERVE, TRAIN, Installed, install, locked_versions

# Imports every module of the service and what it runs: each error is one of a package that the image lacks.
_IMPORT_ALL = """
import importlib, pkgutil
import orchestration.serving, orchestration.workflows.animate, orchestration.export
for package in (orchestration.serving, orchestration.export, importlib.import_module("models")):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(SERVE, tmp_path_factory.mktemp("serve"))


def test_the_install_steps_work_in_a_fresh_folder_and_the_command_exists(serve: Installed) -> None:
    (command,) = [json.loads(each.rest) for each in SERVE.final.of("CMD")]
    assert "over HTTP" in serve.run(*command, "--help")


def test_what_make_image_runs_in_it_succeeds(serve: Installed) -> None:
    serve.run("python", "-c", "import orchestration.serving.deployment")


def test_every_module_of_the_service_finds_its_packages(serve: Installed) -> None:
    serve.run("python", "-c", _IMPORT_ALL)


def test_the_environment_has_the_locked_versions_without_what_only_jobs_use(serve: Installed) -> None:
    listed = serve.versions()
    assert listed.pop("animatic").endswith(f"+git.{REVISION}")
    assert sorted(listed.items() - locked_versions()) == []
    tools = {"pytest", "moto", "mypy", "uv", "locust", "playwright"}
    jobs = {"deepspeed", "mlflow", "wandb", "transformers", "boto3", "google-api-python-client"}
    assert set(listed) & (tools | jobs) == set()
    assert {"torch", "ray", "fastapi", "sqlalchemy", "psycopg", "open-clip-torch", "s3fs"} <= set(listed)


def test_it_is_made_as_the_image_of_jobs_is() -> None:
    """A change of how one is made belongs to the other as well."""
    missing = [each for each in TRAIN.builder.instructions if each not in SERVE.builder.instructions]
    assert missing == []
    assert SERVE.package.instructions == TRAIN.package.instructions
