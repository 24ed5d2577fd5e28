from pathlib import Path
from runpy import run_path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_is_what_the_commands_say() -> None:
    generated = run_path(str(DOCS / "generate_cli.py"))
    assert generated["PAGE"].read_text("utf-8") == generated["page"](), "run: python docs/generate_cli.py"


def test_the_schema_of_configuration_files_has_every_option() -> None:
    generated = run_path(str(DOCS / "generate_schema.py"))
    assert generated["FILE"].read_text("utf-8") == generated["schema"](), "run: python docs/generate_schema.py"
