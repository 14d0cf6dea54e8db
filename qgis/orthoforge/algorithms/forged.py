"""New masks that look like those of a place."""

from __future__ import annotations

import tempfile
from pathlib import Path

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputHtml,
    QgsProcessingOutputMultipleLayers,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
    QgsRasterLayer,
)

from ..server import ServerError
from ..settings import Settings
from ..written_layers import file_name, require_polygons, write_features, write_mask
from .algorithm import Algorithm, options, run_command

_HOW = ("recombine", "streets", "transform")
_HOW_WORDS = (
    "recombine: real footprints in new blocks",
    "streets: buildings along new streets",
    "transform: the real mask, changed",
)
_DEFAULT_GSD_M = 0.3


class _Forged(Algorithm):
    def add_density(self) -> None:
        self.explained(
            QgsProcessingParameterNumber(
                "DENSITY", "Density", QgsProcessingParameterNumber.Double, 1.0, minValue=0.01, maxValue=3.0
            ),
            "Of buildings, as a multiple of the place's own; for recombine and streets (--density).",
        )


class ForgedMasks(_Forged):
    """Masks forged by the command out of a layer."""

    NAME, TITLE = "forgemasks", "Forge masks like a layer"
    HELP = (
        "Makes new masks that look like a mask or like footprints: a folder with masks, a table of them, and a card that says how "
        "alike they are. Each lies where the layer lies. The command orthoforge works."
    )

    def initAlgorithm(self, config=None) -> None:
        kinds = [QgsProcessing.TypeRaster, QgsProcessing.TypeVectorPolygon]
        self.explained(
            QgsProcessingParameterMapLayer("INPUT", "Mask or footprints", types=kinds), "What the new masks are to look like."
        )
        self.explained(QgsProcessingParameterEnum("HOW", "How", _HOW_WORDS, defaultValue=0), "How new masks are made (--how).")
        self.explained(
            QgsProcessingParameterNumber("COUNT", "Number of masks", QgsProcessingParameterNumber.Integer, 4, minValue=1),
            "So many masks are made (--count).",
        )
        self.explained(
            QgsProcessingParameterNumber(
                "SIZE", "Side in pixels", QgsProcessingParameterNumber.Integer, optional=True, minValue=16
            ),
            "Left empty, that of the mask (--size).",
        )
        self.explained(
            QgsProcessingParameterNumber(
                "GSD", "Pixel size in metres", QgsProcessingParameterNumber.Double, optional=True, minValue=0.01
            ),
            "That of the weights which are to make images of them. Left empty, that of the mask; for footprints 0.3 (--gsd).",
        )
        self.add_density()
        self.add_seed()
        self.explained(QgsProcessingParameterBoolean("LOAD", "Add the masks to the project", True), "As raster layers.")
        self.addParameter(QgsProcessingParameterFolderDestination("OUTPUT", "Folder"))
        self.addOutput(QgsProcessingOutputMultipleLayers("MASKS", "Masks"))
        self.addOutput(QgsProcessingOutputHtml("CARD", "How alike the masks are"))

    def processAlgorithm(self, parameters, context, feedback) -> dict[str, object]:
        layer = self.parameterAsLayer(parameters, "INPUT", context)
        gsd = self.parameterAsDouble(parameters, "GSD", context) if self.stated(parameters, "GSD") else None
        out = Path(self.parameterAsString(parameters, "OUTPUT", context))
        with tempfile.TemporaryDirectory(prefix="orthoforge-") as folder:
            mask = self._mask(layer, gsd, Path(folder), feedback)
            said = options(
                how=_HOW[self.parameterAsEnum(parameters, "HOW", context)],
                count=self.parameterAsInt(parameters, "COUNT", context),
                size=self.parameterAsInt(parameters, "SIZE", context) if self.stated(parameters, "SIZE") else None,
                gsd=gsd, density=self.parameterAsDouble(parameters, "DENSITY", context),
                seed=self.parameterAsInt(parameters, "SEED", context),
            )  # fmt: skip
            run_command(["forge", str(mask), "--out", str(out), "--overwrite", *said], feedback)
        masks = sorted(str(path) for path in (out / "masks").glob("*.tif"))
        if self.parameterAsBool(parameters, "LOAD", context):
            for path in masks:
                _load(path, context)
        card = out / "card.html"
        return {"OUTPUT": str(out), "MASKS": masks, **({"CARD": str(card)} if card.is_file() else {})}

    def _mask(self, layer, gsd_m: float | None, folder: Path, feedback) -> Path:
        if isinstance(layer, QgsRasterLayer):
            return write_mask(layer, folder)
        require_polygons(layer)
        footprints = write_features(layer, folder / "footprints.gpkg", layer="buildings", feedback=feedback)
        mask = folder / f"{file_name(layer.name())}.tif"
        run_command(["footprints", str(footprints), "--out", str(mask), *options(gsd=gsd_m or _DEFAULT_GSD_M)], feedback)
        return mask


class ForgedOnServer(_Forged):
    """A mask forged by the server, like one of its maps."""

    NAME, TITLE = "forgemaskonserver", "Forge a mask like a map of the server"
    HELP = (
        "Makes a new mask that looks like a layer of the server, or without layers like a simulated town. The server's address is "
        "set in Settings > Options > Processing > Providers > Orthoforge."
    )

    def initAlgorithm(self, config=None) -> None:
        self.explained(QgsProcessingParameterString("MAP", "Map", optional=True), "One of the server's. Left empty, its first one.")
        self.explained(QgsProcessingParameterEnum("HOW", "How", _HOW_WORDS[:2], defaultValue=0), "How the mask is made.")
        for name, words in (("WIDTH", "Width in pixels"), ("HEIGHT", "Height in pixels")):
            side = QgsProcessingParameterNumber(name, words, QgsProcessingParameterNumber.Integer, 512, minValue=64, maxValue=2048)
            self.explained(side, "Of the mask.")
        self.add_density()
        self.add_seed()
        self.addParameter(QgsProcessingParameterRasterDestination("OUTPUT", "Mask"))

    def processAlgorithm(self, parameters, context, feedback) -> dict[str, str]:
        if not Settings.now().server:
            raise QgsProcessingException(
                "No server is set. Set its address: Settings > Options > Processing > Providers > Orthoforge."
            )
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        named = self.text(parameters, "MAP", context)
        try:
            Settings.now().asked().forged_mask(
                Path(output), **({"layer": named} if named else {}), how=_HOW[self.parameterAsEnum(parameters, "HOW", context)],
                width=self.parameterAsInt(parameters, "WIDTH", context), height=self.parameterAsInt(parameters, "HEIGHT", context),
                density=self.parameterAsDouble(parameters, "DENSITY", context),
                seed=self.parameterAsInt(parameters, "SEED", context),
            )  # fmt: skip
        except (ServerError, OSError) as error:
            raise QgsProcessingException(str(error)) from error
        return {"OUTPUT": output}


def _load(path: str, context: QgsProcessingContext) -> None:
    name = Path(path).stem
    context.addLayerToLoadOnCompletion(path, QgsProcessingContext.LayerDetails(name, context.project(), name))
