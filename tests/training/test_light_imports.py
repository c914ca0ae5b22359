"""What commands read before they start training is imported without torch."""

import subprocess
import sys

import pytest

from tests.support.paths import ROOT


@pytest.mark.parametrize(
    "names",
    [
        "training",
        "training.config",
        "training.control",
        "training.events",
        "training.initialisation",
        "training.journal",
        "training.run_folder",
        "training.stages",
    ],
)
def test_a_module_is_imported_without_torch(names):
    code = f"import sys, {names}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
