import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from rasterio.env import PROJDataFinder

from conftest import make_grid, make_image, make_mask, write_tiff
from orthoforge.errors import ConfigError
from orthoforge.geo import proj_data


@pytest.mark.parametrize("database", ["of another PROJ", "missing"])
def test_another_projs_database_in_the_environment_is_passed_over(tmp_path, database):
    other = tmp_path / "proj"
    other.mkdir()
    if database != "missing":
        shutil.copy(f"{PROJDataFinder().search_wheel()}/proj.db", other / "proj.db")
        with closing(sqlite3.connect(other / "proj.db")) as tables, tables:
            tables.execute("update metadata set value = '0' where key = 'DATABASE.LAYOUT.VERSION.MINOR'")
    mask = make_mask(64)
    write_tiff(tmp_path / "images/a.tif", make_image(mask), make_grid(64))
    write_tiff(tmp_path / "masks/a.tif", mask, make_grid(64))
    # Scenes are read in threads: GDAL reads the variables in each of them.
    program = f"import orthoforge.scenes.checks as c; s = c.check({str(tmp_path)!r}).scenes[0]; print(s.crs, s.gsd_m, s.findings)"
    environment = os.environ | {"PROJ_DATA": str(other), "PROJ_LIB": str(other)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("EPSG:32633 0.3")
    assert done.stdout.endswith(" ()\n")


def test_without_a_database_of_its_own_the_variables_are_named(monkeypatch):
    monkeypatch.setattr(PROJDataFinder, "search_wheel", lambda self: None)
    monkeypatch.setattr(proj_data, "_unusable", lambda: "Cannot find proj.db")
    monkeypatch.delenv("PROJ_LIB", raising=False)
    monkeypatch.setenv("PROJ_DATA", "/opt/other")
    with pytest.raises(ConfigError, match=r"Cannot find proj\.db.* PROJ_DATA=/opt/other may name that of another PROJ: unset it"):
        proj_data.use_a_fitting_database()
