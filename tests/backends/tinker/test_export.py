"""An adapter that the service sends is checked before it is stored."""

import json
from pathlib import Path

import pytest

from pdistill.backends.tinker import export
from pdistill.backends.tinker.export import Note, read_note, write_note
from pdistill.core.contract.interfaces import WeightsURI
from pdistill.core.errors import BackendError


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a\\..\\x", "", ".", "remote.json"])
def test_a_files_name_does_not_lead_out_of_the_directory(name: str) -> None:
    with pytest.raises(BackendError, match="outside of the adapter's directory"):
        export._safe_name(name)


def test_a_files_name_within_the_directory_is_kept() -> None:
    assert export._safe_name("adapter_model.safetensors") == "adapter_model.safetensors"


def test_the_configuration_names_the_base_and_no_path_of_the_service(tmp_path: Path) -> None:
    (tmp_path / export.CONFIG).write_text(json.dumps({"r": 32, "base_model_name_or_path": "/srv/models/x"}))
    with pytest.raises(BackendError, match=r"lacks adapter_model.safetensors$"):
        export._set_base_model(tmp_path, "Qwen/Qwen3-8B")
    (tmp_path / export.WEIGHTS).write_bytes(b"")
    export._set_base_model(tmp_path, "Qwen/Qwen3-8B")
    assert json.loads((tmp_path / export.CONFIG).read_text()) == {
        "r": 32,
        "base_model_name_or_path": "Qwen/Qwen3-8B",
    }


def test_a_note_is_read_back_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    note = Note(WeightsURI("tinker://run/sampler_weights/final"), "Qwen/Qwen3-8B", reason="not compared")
    write_note(note, tmp_path)
    assert read_note(tmp_path) == note
    (tmp_path / export.NOTE).write_text("{}")
    with pytest.raises(BackendError, match="missing or damaged"):
        read_note(tmp_path)
