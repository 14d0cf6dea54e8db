"""An open dataset of rasterio, whose CRS is that of an earlier file where the same tags say it.

GDAL takes four times as long to make a CRS of a small GeoTIFF's tags as for all else that opening it takes.
"""

from pathlib import Path

from rasterio.crs import CRS
from rasterio.io import DatasetReader

from orthoforge.geo.rasters.named_files import CrsTags, crs_tags

# The tags of one file and the CRS that they say, of as many kinds of files; some data sets have one of each scene.
_MOST = 256
_known: dict[CrsTags, CRS | None] = {}


class Reader(DatasetReader):  # type: ignore[misc]  # rasterio has no types
    """A dataset of rasterio, of a local file. ``tags`` are those that say its CRS, see ``crs_tags``."""

    def __init__(self, path: Path, tags: CrsTags | None, **options: object) -> None:
        self._path, self._crs_tags = path, tags
        super().__init__(path, **options)

    def read_crs(self) -> CRS | None:
        """The CRS that the file states."""
        if self._crs_tags is None:
            return super().read_crs()
        if self._crs_tags in _known:
            return _known[self._crs_tags]
        crs = super().read_crs()
        if crs_tags(self._path) == self._crs_tags:  # else it is of a file that took the place of the one with these tags
            if len(_known) >= _MOST:
                _known.clear()
            _known[self._crs_tags] = crs
        return crs
