"""The local backend as the core sees it: options, machine, models that are not there, training defaults."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pdistill.backends import local
from pdistill.backends.local import SPIN_COUNT, create, pdistill_register_backends
from pdistill.backends.local.backend import LocalBackend
from pdistill.backends.local.model.machine import check_device
from pdistill.backends.local.model.malloc import keep_freed_memory
from pdistill.backends.local.options import LocalOptions
from pdistill.core.contract.interfaces import Backend, TrainingDefaults
from pdistill.core.contract.options import build
from pdistill.core.contract.registry import Registry
from pdistill.core.errors import BackendError, UsageError
from tests.backends.tiny_models import make


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("llama", tmp_path_factory.mktemp("llama"))


def test_registers_itself_with_options_of_its_own() -> None:
    registry: Registry[Backend] = Registry("backend")
    pdistill_register_backends(registry)
    entry = registry["local"]
    options: LocalOptions = build(
        entry.options, {"targets": "q_proj, v_proj", "thinking": "true", "alpha": "8"}, "backend local"
    )
    assert options == LocalOptions(targets=("q_proj", "v_proj"), thinking=True, alpha=8.0)
    assert entry.create(options).default_model is None


def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("pdistill.backends.local.")]:
        monkeypatch.delitem(sys.modules, name)
        parent, _, child = name.rpartition(".")
        if parent == local.__name__:
            monkeypatch.delattr(local, child)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(BackendError, match=r"'peft'.*pip install 'pdistill\[local\]'"):
        create(LocalOptions())


@pytest.mark.parametrize(
    ("given", "expected"), [({}, SPIN_COUNT), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "none")]
)
def test_threads_that_wait_soon_sleep_unless_the_user_says_otherwise(given: dict[str, str], expected: str) -> None:
    script = (
        "import os, sys\n"
        "from pdistill.backends.local import LocalOptions, create\n"
        "assert 'torch' not in sys.modules\n"
        "create(LocalOptions())\n"
        "print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT', 'none'))"
    )
    environment = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run([sys.executable, "-c", script], env=environment | given, capture_output=True, text=True)
    assert done.stdout == f"True {expected}\n"


def test_a_chunk_of_nothing_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="invalid value 0 for option chunk of backend local"):
        create(LocalOptions(chunk=0))


def test_resuming_uses_the_stored_settings() -> None:
    probed = dict(LocalBackend(LocalOptions()).resolve(None))
    assert json.loads(json.dumps(probed)) == probed
    assert probed["threads"] == torch.get_num_threads()
    stored = {**probed, "chunk": 7, "torch": "0.0"}
    assert LocalBackend(LocalOptions(chunk=9)).resolve(stored) == stored


def test_a_cpu_computes_in_float32_unless_asked() -> None:
    assert LocalBackend(LocalOptions(device="cpu")).resolve(None)["dtype"] == "float32"
    assert LocalBackend(LocalOptions(device="cpu", dtype="bfloat16")).resolve(None)["dtype"] == "bfloat16"


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_missing_device(device: str) -> None:
    with pytest.raises(BackendError, match=f"there is no device '{device}'"):
        check_device(device)


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "qwen3:0.6b", "", "a/b/c", "nobody/nothing"])
def test_missing_model_is_a_one_line_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", no_network)
    monkeypatch.setattr("pdistill.backends.local.names.getproxies", dict)
    with pytest.raises(BackendError, match="there is no model") as caught:
        LocalBackend(LocalOptions()).teacher(name)
    assert "\n" not in str(caught.value)


def test_a_directory_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="has no config.json"):
        LocalBackend(LocalOptions()).teacher(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BackendError, match="can't read the configuration"):
        LocalBackend(LocalOptions()).teacher(str(tmp_path))


def test_missing_weights_are_an_error_and_not_random(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3, "layer_types": None}))
    with (
        pytest.raises(BackendError, match="lacks .* of its weights, such as 'model.layers.2"),
        LocalBackend(LocalOptions()).teacher(str(tmp_path)).sampler(),
    ):
        pass
    (tmp_path / "model.safetensors").unlink()
    with (
        pytest.raises(BackendError, match="can't load model"),
        LocalBackend(LocalOptions()).teacher(str(tmp_path)).sampler(),
    ):
        pass


def test_the_renderer_needs_no_weights(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert LocalBackend(LocalOptions()).teacher(str(tmp_path)).renderer().pieces([3, 4])


def test_training_defaults_come_from_the_models_directory_or_its_size(folder: Path, tmp_path: Path) -> None:
    backend = LocalBackend(LocalOptions())
    assert backend.student(str(folder), tmp_path).defaults == TrainingDefaults(learning_rate=2e-3)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "pdistill.json").write_text('{"training": {"learning_rate": 0.5, "epochs": 2}}')
    assert backend.student(str(tmp_path), tmp_path).defaults == TrainingDefaults(learning_rate=0.5, epochs=2)
    (tmp_path / "pdistill.json").write_text('{"training": {"rate": 0.5}}')
    with pytest.raises(BackendError, match="invalid file .*rate"):
        LocalBackend(LocalOptions()).student(str(tmp_path), tmp_path)


def test_freed_memory_is_kept_on_glibc_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
