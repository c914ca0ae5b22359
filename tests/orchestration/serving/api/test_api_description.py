"""The description of the API is complete, its examples are valid, and pages load nothing from elsewhere."""

import re

import pytest
from fastapi.openapi.models import OpenAPI

import orchestration.serving.schema as schema
from orchestration.serving.schema import API_CODES
from tests.support.paths import ROOT
from tests.support.serving_api import ApiService


def test_every_operation_describes_its_answers_and_errors(shared: ApiService) -> None:
    described = shared.client.get("/openapi.json").json()
    operations = [operation for methods in described["paths"].values() for operation in methods.values()]
    assert len(operations) == 15
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]
        for status, response in operation["responses"].items():
            assert response["description"] != "Successful Response"
            if int(status) >= 400 and operation["operationId"] != "readyz":
                content = response["content"]["application/json"]
                assert content["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
                assert content["examples"]
    references = set(re.findall(r'"#/components/schemas/(\w+)"', shared.client.get("/openapi.json").text))
    assert references <= set(described["components"]["schemas"])


def test_the_description_is_valid_openapi_with_the_keys(shared: ApiService) -> None:
    described = shared.client.get("/openapi.json").json()
    parsed = OpenAPI.model_validate(described)
    assert parsed.components is not None
    assert set(parsed.components.securitySchemes or {}) == {"bearer", "key"}
    paths = described["paths"].items()
    secured = {path for path, methods in paths if all("security" in each for each in methods.values())}
    assert set(described["paths"]) - secured == {"/livez", "/readyz", "/metrics"}


def test_both_bodies_of_a_request_are_described(shared: ApiService) -> None:
    described = shared.client.get("/openapi.json").json()
    body = described["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "application/json"}
    form = described["components"]["schemas"]["VideoForm"]
    assert form["properties"]["input_reference"]["format"] == "binary"
    assert form["required"] == ["input_reference"]


@pytest.mark.parametrize(
    "name", ["ErrorBody", "ModelList", "ServiceReadiness", "Video", "VideoDeleted", "VideoList"]
)
def test_examples_are_valid(name: str) -> None:
    model = getattr(schema, name)
    examples = model.model_json_schema()["examples"]
    assert examples
    for example in examples:
        assert model.model_validate(example).model_dump(mode="json") == example


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(shared: ApiService, path: str) -> None:
    page = shared.client.get(path)
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    loaded = re.findall(r'<(?:link|script|img)[^>]*?(?:src|href)="([^"]+)"', page.text)
    assert loaded
    for name in loaded:
        assert "//" not in name
        assert shared.client.get(f"/{name}").status_code == 200
    assert not re.search(r"<style|<script(?![^>]*src)|style=\"|onclick", page.text)


def test_the_page_of_the_api_lists_every_operation_and_code(shared: ApiService) -> None:
    page = shared.client.get("/docs").text
    for path in shared.client.get("/openapi.json").json()["paths"]:
        assert path in page
    for code in API_CODES:
        assert f"<code>{code}</code>" in page


def test_the_document_lists_the_routes(shared: ApiService) -> None:
    text = (ROOT / "docs/serving.md").read_text()
    for path in shared.client.get("/openapi.json").json()["paths"]:
        assert path.replace("{video_id}", "ID").replace("{model}", "MODEL") in text
