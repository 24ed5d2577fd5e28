import subprocess
import sys
from pathlib import Path

import pytest

import pdistill

HEAVY = ("torch", "transformers", "peft", "vllm", "tinker", "scipy", "pydantic")
ROOT = Path(__file__).parent.parent


def test_the_public_names_are_sorted_and_there() -> None:
    assert pdistill.__all__ == sorted(pdistill.__all__)
    assert all(hasattr(pdistill, name) for name in pdistill.__all__)


@pytest.mark.parametrize(
    "statement", ["import pdistill", "from pdistill.core.contract.plugins import installed; installed()"]
)
def test_the_package_and_its_plugins_import_nothing_heavy(statement: str) -> None:
    program = f"{statement}; import sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_no_file_is_so_long_that_it_must_have_two_subjects() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "pdistill").rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_no_file_has_a_meaningless_name() -> None:
    names = {path.stem for path in (ROOT / "pdistill").rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "helper", "common", "base", "misc"}
