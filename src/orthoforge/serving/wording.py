"""Errors of the library, worded for who asks over HTTP: they advise fields of the request, or the file itself.

The library's own words advise options of the command line, which a request does not have.
"""

import re

_ALONE = "Send its buildings alone, as 0 and 255, or name a `model` of these classes."
# What the library says, and what a client is told.
WORDED = (
    ("If it is one of classes, say what they are with --palette, or which are building with --building.",
     "If it is one of classes, send its buildings alone, as 0 and 255, or name a `model` of these classes."),
    ("Say with --palette what the values stand for, or with --building which of them are building.", _ALONE),
    ('Say what the numbers are with --palette FILE, a JSON file such as {"Building": 1}.', _ALONE),
    ("pass --threshold 1; if only 255 is, --threshold 255.", "send the field `threshold` as 1; if only 255 is, as 255."),
    ("pass --threshold (", "send the field `threshold` ("),
    ("Say what they are with --palette FILE, or add them to that file.",
     "/v1/models lists the classes of each model, with their colours and values."),
    ("Leave it out of --bands.", "Send a photo that has them."),
    ("Mend it, pass --repair, or remove it.", "Mend it, or remove it."),
    ("State theirs with --footprints-crs, for example --footprints-crs EPSG:32633.",
     "Send them in longitude and latitude, or name their CRS by a `crs` member of the GeoJSON."),
    ("Mend or remove that feature, or give an --extent.", "Mend or remove that feature."),
    ("Choose a CRS with --crs.", ""),
    ("Give an extent with buildings, or a raster with --like.", ""),
    ("Choose a larger --gsd, or cut the town into extents.", "The town has to be cut into several layers."),
    ("Export its ground surfaces as GeoPackage.", "Export its ground surfaces as GeoJSON."),
    ("; say with --layer which one holds the buildings: ", ", where one of buildings is expected: "),
    ("Choose another with --layer: ", "Others have: "),
    ("Add roads, water and trees with --layers, or give it a mask of classes, or a map whose features have OpenStreetMap's tags.",
     "Name a `model` of buildings."),
    (" Close what else uses it, or generate on the CPU.", " Ask for something smaller."),
)  # fmt: skip
_OF_CLASSES = "If it is one of classes, ask for it in a `model` of these."
# Who asks cannot change a layer of the server, nor how it is read.
_OF_LAYERS = (
    (re.compile(r"; pass --threshold \([^)]*\)"), ""),
    (re.compile(r" If both are building, pass --threshold 1; if only 255 is, --threshold 255\."), ""),
    (re.compile(r"If it is one of classes, say what they are with --palette[^.]*\."), _OF_CLASSES),
    (re.compile(r"Say with --palette what the values stand for[^.]*\."), "Ask for it in a `model` of these classes."),
    (re.compile(r"State theirs with --footprints-crs[^.]*\."), "Its file has to name its CRS."),
)
_TO_GEOPACKAGE = re.compile(r"(ogr2ogr .*?)\S+\.gpkg ")
_SENTENCE = re.compile(r"(?<=[.?!]) (?=\S)")
OPTION = re.compile(r"(?<![\w-])--(?!config )[a-z][a-z-]*")  # `--config` is one of ogr2ogr


def over_http(words: str, *, is_sent: bool = True) -> str:
    """``words`` of an error for a client. Without ``is_sent`` they are of a layer, a file of the server that no request can change.

    A sentence that advises another option is left out, unless it is the first: that says what is wrong.
    """
    for pattern, told in () if is_sent else _OF_LAYERS:
        words = pattern.sub(told, words)
    for said, told in WORDED:
        words = words.replace(said, told)
    if is_sent:
        words = _TO_GEOPACKAGE.sub(r"\1converted.geojson ", words)  # the one format of footprints that a form takes
    first, *others = _SENTENCE.split(words)
    return " ".join(
        [OPTION.sub(lambda found: f"`{found[0][2:]}`", first), *(one for one in others if not OPTION.search(one))]
    ).strip()
