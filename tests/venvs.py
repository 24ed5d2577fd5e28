"""Virtual environments for tests that actually install a package; they see this environment's packages and this pdistill."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


class Venv:
    """A virtual environment in a folder, without its own pip."""

    def __init__(self, folder: Path) -> None:
        venv.EnvBuilder(with_pip=False).create(folder)
        self.bin = folder / "bin"
        self.python = self.bin / "python"
        seen = f"{ROOT}\n{sysconfig.get_path('purelib')}\n"
        Path(self.call("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip(), "seen.pth").write_text(
            seen
        )

    def call(self, *args: str | Path, cwd: Path | None = None) -> str:
        """Return the output and errors of the environment's Python, which must succeed."""
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            [self.python, *args], cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def install(self, project: Path) -> None:
        """Install a project in editable mode without its dependencies, using this environment's build backend."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", "--no-index"]
        how = ["--no-build-isolation", "--no-deps", "--disable-pip-version-check", "--editable", str(project)]
        done = subprocess.run([*pip, *how], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
