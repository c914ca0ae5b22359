"""The `animatic` command, called in this process."""

from click.testing import Result
from typer.testing import CliRunner

from orchestration.cli import app

runner = CliRunner()


def run(*arguments: object) -> Result:
    """The outcome of the command with these arguments."""
    return runner.invoke(app, [str(argument) for argument in arguments])


def fails(message: str, *arguments: object) -> None:
    """The command must fail with one line on stderr, which begins with error: and contains ``message``."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert message in lines[0]
