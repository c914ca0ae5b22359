"""Every shell script and every YAML file is free of the mistakes that linters know."""

from tests.support.infra_tools import Tool
from tests.support.paths import ROOT
from tests.support.tracked import tracked_files

# Long commands are clearer on one line; helm's templates become YAML only when they are rendered.
YAML_RULES = """
extends: default
rules:
  line-length: disable
  document-start: disable
  truthy: {check-keys: false}
  comments: {min-spaces-from-content: 1}
  braces: {max-spaces-inside: 1}
  indentation: {indent-sequences: whatever}
"""


def test_shell_scripts_pass_shellcheck(shellcheck: Tool) -> None:
    scripts = [
        path for path in tracked_files() if path.read_bytes().startswith((b"#!/usr/bin/env bash", b"#!/bin/"))
    ]
    assert ROOT / ".ci/run" in scripts
    shellcheck.accepts("--severity=style", *scripts)


def test_yaml_files_pass_yamllint(yamllint: Tool) -> None:
    files = [path for path in tracked_files("*.yaml", "*.yml") if "templates" not in path.parts]
    assert ROOT / ".github/workflows/ci.yml" in files
    yamllint.accepts("--strict", "--config-data", YAML_RULES, *files)
