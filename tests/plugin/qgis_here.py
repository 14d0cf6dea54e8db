"""QGIS without a screen: whether it is here, a profile with the plugin, and what it takes to run both in it."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Debian starts it by a script with an option that it does not know.
_PROCESS = "qgis_process.bin" if shutil.which("qgis_process.bin") else "qgis_process"
PYTHON = os.environ.get("ORTHOFORGE_QGIS_PYTHON", "/usr/bin/python3")  # that of the distribution, which knows QGIS


def module_of(path: Path) -> ModuleType:
    """A Python file below ``qgis/``. Its folder must not be imported from: the plugin's package is called as ours is."""
    spec = importlib.util.spec_from_file_location(f"qgis_{path.stem}", ROOT / "qgis" / path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def _missing() -> str:
    if shutil.which(_PROCESS) is None:
        return f"there is no {_PROCESS}"
    try:
        found = subprocess.run([PYTHON, "-c", "import qgis.core"], capture_output=True, text=True, timeout=120, env=_environment())
    except OSError as error:
        return str(error)
    return found.stderr.strip().rpartition("\n")[2]


def require_qgis() -> None:
    """Skip, or fail where ORTHOFORGE_QGIS=required says that QGIS was installed."""
    if why := _missing():
        words = f"no QGIS ({why}): apt-get install --no-install-recommends qgis python3-qgis qgis-providers"
        if os.environ.get("ORTHOFORGE_QGIS") == "required":
            pytest.fail(words)
        pytest.skip(words)


class Qgis:
    """A profile of its own in ``folder``, into which the packed plugin was unpacked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        profile = folder / "profiles" / "default"
        self.plugins = profile / "python" / "plugins"
        with zipfile.ZipFile(module_of(Path("pack.py")).pack(folder / "orthoforge.zip")) as packed:
            packed.extractall(self.plugins)
        self._ini = profile / "QGIS" / "QGIS3.ini"
        self._ini.parent.mkdir(parents=True)

    def environment(self) -> dict[str, str]:
        return _environment() | {"QGIS_CUSTOM_CONFIG_PATH": str(self.folder), "HOME": str(self.folder)}

    def answers(self, steps: list[dict]) -> list:
        """Each step's answer by ``in_qgis.py``, all in one process."""
        task = self.folder / "task.json"
        task.write_text(json.dumps({"plugins": str(self.plugins), "steps": steps}), "utf-8")
        script = Path(__file__).with_name("in_qgis.py")
        done = subprocess.run([PYTHON, script, task], capture_output=True, text=True, timeout=100, env=self.environment())
        assert done.returncode == 0, done.stderr
        return json.loads(task.with_name("answer.json").read_text("utf-8"))

    def process(self, *words: str, **settings: str) -> subprocess.CompletedProcess:
        """``qgis_process``, with the plugin switched on."""
        lines = ["[PythonPlugins]", "orthoforge=true", "", "[Processing]"]
        lines += [rf"Configuration\ORTHOFORGE_{name.upper()}={value}" for name, value in settings.items()]
        self._ini.write_text("\n".join([*lines, ""]))
        return subprocess.run([_PROCESS, *words], capture_output=True, text=True, timeout=120, env=self.environment())


def _environment() -> dict[str, str]:
    """Of this process, without what leads QGIS's own Python into this one's packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "GDAL", "PROJ"))}
    return kept | {"QT_QPA_PLATFORM": "offscreen", "PYTHONDONTWRITEBYTECODE": "1"}
