from pathlib import Path
from runpy import run_path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_is_what_the_commands_say() -> None:
    generated = run_path(str(DOCS / "generate_cli.py"))
    assert generated["PAGE"].read_text("utf-8") == generated["page"](), "run: python docs/generate_cli.py"


@pytest.mark.parametrize("name", ["config.schema.json", "report.schema.json"])
def test_the_schemas_are_those_of_the_types(name: str) -> None:
    generated = run_path(str(DOCS / "generate_schema.py"))
    published = (generated["FOLDER"] / name).read_text("utf-8")
    assert published == generated["SCHEMAS"][name](), "run: python docs/generate_schema.py"
