"""``animatic evaluate`` measures once, a bundle or what another system made of the same pictures."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from core.files import sha256
from tests.support.coded_clips import build_dataset
from tests.support.command import run
from tests.support.extractors import write_i3d
from tests.support.public_datasets import UCF101, ucf101_line, write_ucf101
from tests.support.small_stages import make_bundle


def test_a_second_evaluation_prints_the_same_figures_and_that_nothing_was_left_to_do(
    here: Path,
) -> None:
    build_dataset(here / "data", [40] * 2)
    make_bundle(here / "bundle")
    command = ("evaluate", "data", "--bundle", "bundle", "--steps", 1, "--workers", 0)
    first, second = run(*command), run(*command)
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert "first_frame_psnr" in first.stdout
    assert second.stdout == f"nothing left to do: every clip was evaluated before\n{first.stdout}"
    assert "generate: 2 of 2" in second.stderr and "measure: 2 of 2" in second.stderr
    report = next((here / "runs" / "evaluations").rglob("report.json"))
    assert json.loads(run(*command, "--json").stdout) == json.loads(report.read_text())


def test_clips_of_another_system_are_measured_on_the_exported_pictures(here: Path) -> None:
    write_ucf101(here / "ucf")
    (here / "ucf" / "UCF-101" / ucf101_line(UCF101[0])).unlink()
    common = ("evaluate", "ucf", "--protocol", "ucf101", "--size", "3x32x48", "--clips", 3, "--workers", 0)
    exported = run(*common, "--export-pictures", "pictures")
    assert exported.exit_code == 0, exported.output
    assert exported.stdout == "3 pictures and prompts.csv in pictures\n"
    assert "videos: 4 of 4" in exported.stderr
    for row in csv.DictReader((here / "pictures" / "prompts.csv").open()):
        (here / "made" / row["key"]).mkdir(parents=True)
        for number in range(3):
            shutil.copy(here / "pictures" / row["picture"], here / "made" / row["key"] / f"{number}.png")

    measured = run(*common, "--generated", "made")
    assert measured.exit_code == 0, measured.output
    assert "generated " in measured.stdout and "on 3 clips" in measured.stdout
    assert "3 frozen: " in measured.stdout
    assert "1 listed videos cannot be used (missing_file 1): they are named in runs/protocols/ucf101-" in (
        measured.stderr
    )
    report = json.loads(next((here / "runs" / "evaluations").rglob("report.json")).read_text())
    assert (report["protocol"]["name"], report["protocol"]["stride"]) == ("ucf101", 3)

    shutil.rmtree(here / "made" / UCF101[1])
    refused = run(*common, "--generated", "made")
    assert refused.exit_code == 1
    assert "/made lacks 1 of 3 clips (v_ApplyEyeMakeup_g01_c02): " in refused.stderr.splitlines()[-1]
    too_many = run(*common[:6], "--workers", 0, "--generated", "made")
    assert "2048 requested (1 more are listed and unusable: missing_file 1)" in too_many.stderr


def test_metrics_on_features_are_measured_with_the_extractors_given(here: Path) -> None:
    build_dataset(here / "data", [40] * 3)
    make_bundle(here / "bundle")
    digest = sha256(write_i3d(here / "i3d@4.pt"))
    command = ("evaluate", "data", "--bundle", "bundle", "--steps", 1, "--workers", 0)
    refused = run(*command, "--metrics", "kvd,clip_text", "--extractor", "i3d=i3d@4.pt")
    assert "metric clip_text needs the extractor clip: add --extractor clip=PATH" in refused.stderr
    assert "has sha256" in run(*command, "--extractor", f"i3d=i3d@4.pt@{'0' * 64}").stderr
    assert not (here / "runs" / "evaluations").exists()

    found = run(*command, "--metrics", "kvd,fvd", "--extractor", f"i3d=i3d@4.pt@{digest.upper()}", "--json")
    assert found.exit_code == 0, found.output
    metrics = json.loads(found.stdout)["metrics"]
    assert list(metrics) == ["fvd", "kvd"]
    assert metrics["fvd"]["details"]["extractor_sha256"] == digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--protocol", "kinetics"],
            "--protocol 'kinetics' does not exist: pass one of held-out",
        ),
        (["--split", "test"], "--split chooses from a public dataset: pass --protocol too"),
        (["--protocol", "ucf101", "--captions", "first"], "--captions chooses among those of MSR-VTT"),
        (["--generated", "a", "--baseline", "i2vgen-xl"], "and --baseline generates: pass one"),
        (["--baseline", "i2vgen-xl"], "--baseline needs --weights, the folder of its pipeline"),
        (["--weights", "w"], "--baseline needs --weights, the folder of its pipeline, and only it does"),
        (["--generated", "a", "--steps", "2"], "--generated measures clips that exist: leave out --steps"),
        (["--size", "3x32x32"], "--size is that of clips which no bundle generates: leave it out"),
        (["--generated", "a", "--size", "32x32"], "--size '32x32' is not FRAMESxHEIGHTxWIDTH"),
        (
            ["--baseline", "svd", "--weights", "w", "--size", "3x32x32"],
            "--baseline 'svd' does not exist:",
        ),
        (
            ["--baseline", "i2vgen-xl", "--weights", "w", "--size", "3x32x32"],
            "w has no model_index.json: pass the folder of a I2VGenXLPipeline",
        ),
        (["--generated", "a"], "name one: --bundle FOLDER"),
        (
            ["--generated", "a", "--size", "3x32x32", "--protocol", "ucf101"],
            "missing is not a folder with the videos of ucf101",
        ),
        (["--extractor", "i3d"], "--extractor i3d is not of the form NAME=PATH or NAME=PATH@SHA256"),
        (["--extractor", "i3d=a", "--extractor", "i3d=b"], "--extractor i3d is given twice"),
        (["--extractor", "clip=https://h/w"], "https://h/w is a URL, but this is read from a local path"),
        (["--export-pictures", "p", "--address", "http://h:1"], "leave out --address"),
        (["--export-pictures", "p", "--generated", "a"], "--export-pictures measures nothing: leave out"),
    ],
)
def test_options_that_do_not_fit_each_other_are_refused(here: Path, options: list[str], message: str) -> None:
    result = run("evaluate", "missing", *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
