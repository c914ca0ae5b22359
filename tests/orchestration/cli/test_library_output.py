"""What libraries print while a verb works is neither a result nor coloured."""

import sys

import pytest

from orchestration.cli.common import only_results_on_stdout

# As Ray 2.60 prints it.
LOST = (
    "\x1b[33m(raylet)\x1b[0m The node with node id: 76ee108c and address: 10.77.0.3 and node name: node3 has "
    "been marked dead because the detector has missed too many heartbeats from it. This can happen when a "
    "\t(1) raylet crashes unexpectedly (OOM, etc.) \n"
    "\t(2) raylet has lagging heartbeats due to slow network or busy workload."
)

DIED = (
    "\x1b[33m(raylet)\x1b[0m Raylet is terminated. Termination is unexpected. Possible reasons include: (1) "
    "SIGKILL by the user. Last 20 lines of the Raylet logs:\n"
    "    [state-dump] DebugString() time ms: 0\n"
)


def test_the_log_of_a_raylet_that_ended_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    with only_results_on_stdout():
        print("before")
        print(DIED)
        print("after")
        print("    indented")
    assert capsys.readouterr().err == "before\nafter\n    indented\n"


def test_a_lost_node_is_one_line_with_its_address(capsys: pytest.CaptureFixture[str]) -> None:
    with only_results_on_stdout():
        print("before")
        print(LOST)
        print("after")
        print("\t(2) of something else, \x1b[31min red\x1b[0m")
        sys.stdout.write("no end")
    print("result")
    captured = capsys.readouterr()
    assert captured.out == "result\n"
    assert captured.err == (
        "before\nRay lost the node 10.77.0.3: its processes ended, or it does not answer\nafter\n"
        "\t(2) of something else, in red\nno end\n"
    )


def test_stdout_is_as_before_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), only_results_on_stdout():
        raise ZeroDivisionError
    print("x", flush=True)
    assert capsys.readouterr().out == "x\n"
