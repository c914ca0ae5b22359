"""Every test of this folder is marked `infra`; a fixture for each program that they call."""

from pathlib import Path

import pytest

from tests.support.infra_tools import Tool, find


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before -m selects: these tests need programs that only `make infra-check` installs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.infra)


@pytest.fixture(scope="session")
def helm() -> Tool:
    return find("helm")


@pytest.fixture(scope="session")
def kubectl() -> Tool:
    return find("kubectl")


@pytest.fixture(scope="session")
def kubernetes_validate() -> Tool:
    return find("kubernetes-validate")


@pytest.fixture(scope="session")
def docker_compose() -> Tool:
    return find("docker-compose")


@pytest.fixture(scope="session")
def hadolint() -> Tool:
    return find("hadolint")


@pytest.fixture(scope="session")
def shellcheck() -> Tool:
    return find("shellcheck")


@pytest.fixture(scope="session")
def yamllint() -> Tool:
    return find("yamllint")


@pytest.fixture(scope="session")
def promtool() -> Tool:
    return find("promtool")


@pytest.fixture(scope="session")
def prometheus() -> Tool:
    return find("prometheus")
