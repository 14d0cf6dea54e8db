"""PROJ's database: where coordinate reference systems are looked up.

An installation of QGIS, PostGIS or conda may leave PROJ_DATA or PROJ_LIB in the environment, naming the database of another PROJ.
rasterio follows them, and then knows no CRS at all.
"""

import os

import rasterio
from rasterio.crs import CRS
from rasterio.env import PROJDataFinder, set_proj_data_search_path
from rasterio.errors import CRSError

from orthoforge.errors import ConfigError

VARIABLES = ("PROJ_DATA", "PROJ_LIB")


def use_a_fitting_database() -> None:
    """Look up CRSs in rasterio's own database where the environment names one that does not fit; in the whole process.

    Raises ``ConfigError`` where rasterio came without one: then the environment has to be mended.
    """
    reason = _unusable()
    if reason is None:
        return
    named = " and ".join(f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ)
    if own := PROJDataFinder().search_wheel():
        for name in VARIABLES:  # GDAL reads them again in every thread
            os.environ.pop(name, None)
        set_proj_data_search_path(own)
        reason = _unusable()
    if reason is not None:
        advice = f"{named} may name that of another PROJ: unset it." if named else "Install rasterio again."
        raise ConfigError(f"PROJ finds no database of coordinate reference systems that fits ({reason}). {advice}")


def _unusable() -> str | None:
    """Why no CRS is found; ``None`` where they are."""
    try:
        with rasterio.Env():  # which keeps GDAL from printing the error
            CRS.from_epsg(4326)
    except CRSError as error:
        return str(error)
    return None
