"""What a request for a video may contain, as JSON and as a form."""

import pytest

from orchestration.serving.schema import ApiError, VideoRequest, parse_form, parse_json


def test_a_form_is_read_as_the_json_object_that_it_writes_out() -> None:
    values = {
        "prompt": "a boat",
        "loop": True,
        "num_frames": 4,
        "guidance_scale": 3,
        "seed": 7,
        "size": "64x64",
    }
    form = {name: str(value).lower() if value is True else str(value) for name, value in values.items()}
    assert parse_form(form) == parse_json(values)
    assert parse_json(values).model_fields_set == set(values)


def test_empty_and_null_fields_are_not_set() -> None:
    assert parse_form({"seed": "", "prompt": "a"}).model_fields_set == {"prompt"}
    assert parse_json({"seed": None, "prompt": "a"}).model_fields_set == {"prompt"}


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"num_inference_step": 5}, "num_inference_step", "unknown_parameter"),
        ({"num_inference_steps": 5000}, "num_inference_steps", "invalid_request"),
        ({"num_inference_steps": True}, "num_inference_steps", "invalid_request"),
        ({"num_inference_steps": "5"}, "num_inference_steps", "invalid_request"),
        ({"seed": -1}, "seed", "invalid_request"),
        ({"seed": 2**44}, "seed", "invalid_request"),
        ({"seed": 1.5}, "seed", "invalid_request"),
        ({"guidance_scale": float("inf")}, "guidance_scale", "invalid_request"),
        ({"fps": 0}, "fps", "invalid_request"),
        ({"size": "512×320"}, "size", "invalid_request"),
        ({"prompt": ["a"]}, "prompt", "invalid_request"),
        ({"model": "a" * 101}, "model", "invalid_request"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, object], param: str, code: str) -> None:
    with pytest.raises(ApiError) as raised:
        parse_json(fields)
    assert (raised.value.code, raised.value.param, raised.value.status) == (code, param, 400)


def test_an_unknown_field_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ApiError, match=r"unknown field 'num_frame': did you mean 'num_frames'\?"):
        parse_form({"num_frame": "4"})


def test_a_field_of_similar_apis_is_refused_with_ours() -> None:
    with pytest.raises(ApiError, match="unknown field 'seconds': num_frames is the length in frames"):
        parse_form({"seconds": "4"})


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(ApiError) as raised:
        parse_json({"size": "1" * 100_000})
    assert len(str(raised.value)) < 300


def test_defaults_are_not_values_that_a_client_set() -> None:
    assert VideoRequest().model_fields_set == set()
