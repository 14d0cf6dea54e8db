"""Pack the plugin as QGIS installs it (Plugins > Manage and Install > Install from ZIP): ``python qgis/pack.py [OUT.zip]``.

The same files give the same bytes.
"""

import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LICENSE = HERE.parent / "LICENSE"
DEFAULT = HERE.parent / "build" / "orthoforge-qgis.zip"
_KINDS = {".py", ".txt", ".svg"}


def pack(out: Path) -> Path:
    """Write the ZIP and return where it is."""
    plugin = HERE / "orthoforge"
    files = {path.relative_to(HERE).as_posix(): path for path in plugin.rglob("*") if path.suffix in _KINDS}
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, path in sorted((files | {"orthoforge/LICENSE": LICENSE}).items()):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return out


if __name__ == "__main__":
    print(pack(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT))
