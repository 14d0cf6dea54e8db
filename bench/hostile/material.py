"""Valid files of every format that is read, made once, from which inputs are made by damaging one."""

import gzip
import json
import os
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

_TESTS = Path(__file__).parents[2] / "tests"
OSM_FILES = _TESTS / "vectors"  # of test_footprint_osm, which writes OpenStreetMap's formats
RECIPE = """name: speck
crop_px: 32
batch_size: 2
generator: resnet6
generator_width: 2
discriminator_width: 2
norm: instance
epochs: 1
decay_epochs: 0
precision: float32
best_by: ssim
"""
PALETTE = {"Building": [255, 255, 255], "Land": [0, 0, 0], "Water": [0, 0, 255]}
MODULES = "modules.json"
SCENES = ("town0", "town1", "town3", "town7", "town8", "town9")


@dataclass(frozen=True)
class Material:
    """``data`` is a data set, ``tiles`` a store, ``run`` a run, ``pretrained`` that run published, ``images`` generated ones.

    ``rasters`` and ``vectors`` hold one file, with its side files, of each kind: ``KIND/masks/town3.tif``, ``KIND/houses.gpkg``.
    """

    root: Path

    def __getattr__(self, name: str) -> Path:
        return self.root / name


def prepare_imports() -> None:
    """Let the helpers of the tests be imported."""
    sys.path[:0] = [str(_TESTS), str(OSM_FILES)]


def make_material(root: Path) -> int:
    """Write everything below ``root``; in a process of its own, for it starts threads."""
    prepare_imports()
    from conftest import make_dataset
    from orthoforge.cli import main
    from orthoforge.evaluation.evaluate import evaluate
    from orthoforge.generation import generate
    from orthoforge.hub import publish
    from orthoforge.tiles import shards
    from orthoforge.tiles.prepare import prepare
    from orthoforge.training import train

    os.chdir(root)  # paths in stores and runs are relative, as the inputs' are
    make_dataset(Path("data"), SCENES, 64)
    for number, name in enumerate(SCENES):
        _move(Path("data"), name, number)
    shards._SMALL_BYTES = 0  # each scene has files of its own, which are spoilt one by one
    prepare(Path("data"), Path("tiles"), grid=1, size=64, split="digits", workers=1)
    Path("speck.yaml").write_text(RECIPE)
    train("speck.yaml", Path("tiles"), Path("run"), trackers=(), quiet=True)
    publish("run", Path("pretrained"), name="speck")
    generate("run", [Path("data/masks/town9.tif")], Path("images/town9.tif"))  # of the one test tile
    evaluate(Path("images"), Path("tiles"), Path("report"))
    main(["check", "data"])
    Path("palette.json").write_text(json.dumps(PALETTE))
    _rasters(Path("rasters"))
    _vectors(Path("vectors"))
    Path(MODULES).write_text(json.dumps(sorted(sys.modules)))
    return 0


def _move(data: Path, name: str, number: int) -> None:
    """Scenes lie side by side, each on its own ground."""
    import rasterio
    from affine import Affine

    for part in ("images", "masks"):
        with rasterio.open(data / part / f"{name}.tif", "r+") as dataset:
            dataset.transform = Affine.translation(40 * number, 0) * dataset.transform


def _rasters(folder: Path) -> None:
    """A pair of town3 in each way of writing it."""
    import numpy as np
    from PIL import Image

    from conftest import make_grid, make_image, make_mask, write_tiff

    grid, mask = make_grid(64), make_mask(64, seed=2)
    image = make_image(mask, seed=2)
    tiled = {"tiled": True, "blockxsize": 32, "blockysize": 32}
    kinds = {
        "striped": {}, "tiled": tiled, "deflate": {"compress": "deflate"}, "lzw": {"compress": "lzw", "predictor": 2} | tiled,
        "zstd": {"compress": "zstd"}, "packbits": {"compress": "packbits"}, "bigtiff": {"bigtiff": "yes", "compress": "deflate"},
        "lerc": {"compress": "lerc"}, "webp": {"compress": "webp", "webp_lossless": True}, "planar": {"interleave": "band"},
        "bigendian": {"endianness": "big"},
    }  # fmt: skip
    for kind, options in kinds.items():
        write_tiff(folder / kind / "images" / "town3.tif", image, grid, **options)
        write_tiff(
            folder / kind / "masks" / "town3.tif", mask, grid, **(options if kind != "webp" else {})
        )  # WebP wants three bands
    write_tiff(folder / "jpeg-in-tiff/images/town3.tif", image, grid, compress="jpeg", photometric="ycbcr", **tiled)
    write_tiff(folder / "jpeg-in-tiff/masks/town3.tif", mask, grid, nbits=1)
    write_tiff(folder / "four-bands/images/town3.tif", np.dstack([image, mask]), grid)
    write_tiff(folder / "four-bands/masks/town3.tif", np.dstack([mask] * 3), grid)
    write_tiff(folder / "sixteen-bit/images/town3.tif", image.astype(np.uint16), grid)
    write_tiff(folder / "sixteen-bit/masks/town3.tif", mask.astype(np.uint16), grid)
    _palette_pair(folder / "palette", image, mask, grid)
    _with_side_files(folder / "side-files", image, mask, grid)
    for kind, suffix in (("png", ".png"), ("jpeg", ".jpg")):
        for part, pixels in (("images", image), ("masks", mask)):
            (folder / kind / part).mkdir(parents=True)
            Image.fromarray(pixels).save(folder / kind / part / f"town3{suffix}", **({"quality": 100} if kind == "jpeg" else {}))
            (folder / kind / part / f"town3{suffix[:2]}{suffix[-1]}w").write_text("0.3\n0\n0\n-0.3\n500000.15\n4999999.85\n")


def _palette_pair(folder: Path, image: object, mask: object, grid: object) -> None:
    import rasterio

    from conftest import write_tiff

    write_tiff(folder / "images/town3.tif", image, grid)
    path = write_tiff(folder / "masks/town3.tif", mask // 255, grid, photometric="palette")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 255, 255, 255)})


def _with_side_files(folder: Path, image: object, mask: object, grid: object) -> None:
    """Its place, CRS, mask and overviews each in a file beside it."""
    import rasterio

    from conftest import write_tiff

    for part, pixels in (("images", image), ("masks", mask)):
        path = write_tiff(folder / part / "town3.tif", pixels)
        path.with_suffix(".tfw").write_text("0.3\n0\n0\n-0.3\n500000.15\n4999999.85\n")
        path.with_suffix(".prj").write_text(rasterio.crs.CRS.from_epsg(32633).to_wkt())
        with rasterio.Env(TIFF_USE_OVR=True, GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(True)
            dataset.build_overviews([2], rasterio.enums.Resampling.nearest)
        Path(f"{path}.aux.xml").write_text(
            "<PAMDataset><SRS>EPSG:32633</SRS><GeoTransform>500000,0.3,0,5000000,0,-0.3</GeoTransform></PAMDataset>"
        )


def _vectors(folder: Path) -> None:
    """Twelve houses in each format."""
    import numpy as np
    import pyogrio.raw
    import shapely
    import test_footprint_osm as osm
    from rasterio.crs import CRS

    from orthoforge.vectors import write_footprints

    folder.mkdir()
    places = [(15 + 2e-4 * (n % 4), 45.15 + 2e-4 * (n // 4)) for n in range(12)]
    houses = np.array([shapely.box(x, y, x + 1e-4, y + 7e-5) for x, y in places], object)
    wgs84 = CRS.from_epsg(4326)
    for kind in ("geojson", "gpkg", "parquet"):
        write_footprints(folder / f"houses.{kind}", houses, wgs84)
    document = (folder / "houses.geojson").read_bytes()
    (folder / "houses.geojson.gz").write_bytes(gzip.compress(document, mtime=0))
    lines = [json.dumps(feature) for feature in json.loads(document)["features"]]
    (folder / "houses.geojsonl").write_text("\n".join(lines) + "\n")
    (folder / "houses.geojsonseq").write_text("".join(f"\x1e{line}\n" for line in lines))
    (folder / "houses.csv").write_text("name,geometry\n" + "".join(f'{n},"{house.wkt}"\n' for n, house in enumerate(houses)))
    for kind, driver in (("shp", "ESRI Shapefile"), ("fgb", "FlatGeobuf")):
        pyogrio.raw.write(
            folder / f"houses.{kind}", geometry=shapely.to_wkb(houses), field_data=[np.arange(12)], fields=["n"], driver=driver,
            geometry_type="Polygon", crs="EPSG:4326",
        )  # fmt: skip
    with zipfile.ZipFile(folder / "houses.zip", "w") as archive:
        for path in sorted(folder.glob("houses.[dps][bhr][fjpx]")):
            archive.write(path, path.name)
    small = {number: (15 + (lon - 13) * 1e-3, 45 + (lat - 52) * 1e-3) for number, (lon, lat) in osm.NODES.items()}
    osm.NODES.clear()
    osm.NODES.update(small)
    osm.xml(folder / "houses.osm")
    osm.pbf(folder / "houses.osm.pbf")
    osm.overpass(folder / "overpass.json", geometry=False)
    osm.overpass(folder / "overpass-geometry.json", geometry=True)
