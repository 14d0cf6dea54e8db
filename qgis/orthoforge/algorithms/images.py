"""Images of a mask and of footprints, by the command or by a server."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from ..server import ServerCancelledError, ServerError
from ..settings import Settings
from ..written_layers import WGS84, file_name, write_features, write_layers, write_mask
from .algorithm import Algorithm, options, run_command

_MATERIAL = "orthoforge-material"
_BY = (
    "\n\nThe command orthoforge works, or a server, if its address is set: Settings > Options > Processing > Providers > "
    "Orthoforge."
)


class _Image(Algorithm):
    """What both have in common: weights, style, seed, and an image."""

    def add_look(self) -> None:
        self.add_run()
        self.explained(
            QgsProcessingParameterString("STYLE", "Style", optional=True),
            "The look of the image, for weights with styles: a place of theirs, such as kampala, or the file of a reference image. "
            "Left empty, the seed chooses a place (--style).",
        )
        self.add_seed()

    def add_rest(self) -> None:
        self.explained(
            QgsProcessingParameterFile("MATERIAL", "Your own roofs and ground", QgsProcessingParameterFile.Folder, optional=True),
            "Tiles of your own, a folder made by `orthoforge prepare`, of whose roofs and ground orthoforge-material composes the "
            "image (--material-from). Not with a server.",
            advanced=True,
        )
        self.add_device()
        self.addParameter(QgsProcessingParameterRasterDestination("OUTPUT", "Image"))

    def look(self, parameters, context) -> dict[str, object]:
        """What the command is told of it."""
        return {
            "seed": self.parameterAsInt(parameters, "SEED", context), "style": self.text(parameters, "STYLE", context),
            "material_from": self.text(parameters, "MATERIAL", context), "device": self.text(parameters, "DEVICE", context),
        }  # fmt: skip

    def command(self, parameters, context, feedback, source: Path, **further: object) -> dict[str, str]:
        """The image, made by the command."""
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        words = ["generate", self.text(parameters, "RUN", context) or _MATERIAL, str(source), "--out", output, "--overwrite"]
        run_command([*words, *options(**self.look(parameters, context), **further)], feedback)
        return {"OUTPUT": output}

    def served(self, parameters, context, feedback, source: Path, **fields: str | float | None) -> dict[str, str]:
        """The image, made by the server. ``QgsProcessingException`` with its words when it refuses."""
        if self.stated(parameters, "MATERIAL"):
            raise QgsProcessingException(
                "A server composes images of its own roofs and ground. Leave yours out, or take the command."
            )
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        look = {
            "model": self.text(parameters, "RUN", context), "style": self.text(parameters, "STYLE", context),
            "seed": self.parameterAsInt(parameters, "SEED", context),
        }  # fmt: skip
        try:
            Settings.now().asked().image(
                source, Path(output), is_cancelled=feedback.isCanceled, progress=lambda share: feedback.setProgress(100 * share),
                **look, **fields,
            )  # fmt: skip
        except ServerCancelledError:
            return {}
        except (ServerError, OSError) as error:
            raise QgsProcessingException(str(error)) from error
        return {"OUTPUT": output}


class ImageFromMask(_Image):
    """A mask raster to an image on its grid."""

    NAME, TITLE = "imagefrommask", "Image from a mask"
    HELP = (
        "Turns a mask into an orthophoto of a place that does not exist. Buildings are 255 or 1, all else is 0; or classes in the "
        "colours of the weights. The image has the size, CRS and place of the mask. It is tagged as synthetic." + _BY
    )

    def initAlgorithm(self, config=None) -> None:
        self.explained(
            QgsProcessingParameterRasterLayer("INPUT", "Mask"), "A raster of buildings (0 and 255, or 0 and 1) or of classes."
        )
        self.add_look()
        self.explained(
            QgsProcessingParameterBoolean("RESAMPLE", "Also take a mask of another resolution", False),
            "Makes the image at the resolution of the weights, and delivers it on the grid of the mask (--resample). A server "
            "always does.",
        )
        self.explained(
            QgsProcessingParameterNumber(
                "THRESHOLD", "Threshold", QgsProcessingParameterNumber.Integer, optional=True, minValue=1, maxValue=255
            ),
            "Values of the mask from this one on are building. Left empty, it may hold only 0, 1 and 255 (--threshold).",
            advanced=True,
        )
        self.add_rest()

    def processAlgorithm(self, parameters, context, feedback) -> dict[str, str]:
        layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
        threshold = self.parameterAsInt(parameters, "THRESHOLD", context) if self.stated(parameters, "THRESHOLD") else None
        with tempfile.TemporaryDirectory(prefix="orthoforge-") as folder:
            mask = write_mask(layer, Path(folder))
            if Settings.now().server:
                return self.served(parameters, context, feedback, mask, threshold=threshold)
            resample = self.parameterAsBool(parameters, "RESAMPLE", context)
            return self.command(parameters, context, feedback, mask, threshold=threshold, resample=resample)


class ImageFromFootprints(_Image):
    """Polygons to an image of their ground."""

    NAME, TITLE = "imagefromfootprints", "Image from building footprints"
    HELP = (
        "Turns polygons of buildings into an orthophoto of a place that does not exist. In a projected CRS in metres the image "
        "lies in it, else in the UTM zone of the place. It is tagged as synthetic." + _BY
    )

    def initAlgorithm(self, config=None) -> None:
        polygons = [QgsProcessing.TypeVectorPolygon]
        self.explained(QgsProcessingParameterFeatureSource("INPUT", "Footprints", polygons), "Polygons, one a building.")
        self.explained(
            QgsProcessingParameterExtent("EXTENT", "Ground of the image", optional=True),
            "Left empty, all footprints and 10 m around them (--extent).",
        )
        self.add_look()
        self.explained(
            QgsProcessingParameterNumber(
                "GSD", "Pixel size in metres", QgsProcessingParameterNumber.Double, optional=True, minValue=0.01
            ),
            "Left empty, that of the weights. With another one the image is made at theirs and resampled (--gsd, --resample).",
        )
        self.explained(
            QgsProcessingParameterMultipleLayers(
                "LAYERS", "Roads, water, trees …", QgsProcessing.TypeVectorAnyGeometry, optional=True
            ),
            "Vector layers that are painted under the buildings, for weights that were trained on classes. Their names and "
            "attributes say what they are: roads, water, trees (--layers). Not with a server.",
        )  # fmt: skip
        self.explained(
            QgsProcessingParameterBoolean("REPAIR", "Mend invalid polygons", False),
            "Instead of refusing them (--repair).",
            advanced=True,
        )
        self.add_rest()

    def processAlgorithm(self, parameters, context, feedback) -> dict[str, str]:
        source = self.parameterAsSource(parameters, "INPUT", context)
        if source is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, "INPUT"))
        gsd = self.parameterAsDouble(parameters, "GSD", context) if self.stated(parameters, "GSD") else None
        layers = self.parameterAsLayerList(parameters, "LAYERS", context)
        with tempfile.TemporaryDirectory(prefix="orthoforge-") as folder:
            if Settings.now().server:
                if layers:
                    raise QgsProcessingException(
                        "A server takes footprints alone. Leave the other layers out, or take the command."
                    )
                path = write_features(source, Path(folder) / "footprints.geojson", feedback=feedback)
                return self.served(parameters, context, feedback, path, **self._ground(parameters, context, source, gsd))
            path = write_features(
                source, Path(folder) / f"{file_name(source.sourceName())}.gpkg", layer="buildings", feedback=feedback
            )
            extent = None
            if self.stated(parameters, "EXTENT"):
                box = self.parameterAsExtent(parameters, "EXTENT", context, source.sourceCrs())
                extent = box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()
            further = {"layers": [str(write_layers(layers, Path(folder) / "layers.gpkg", feedback))]} if layers else {}
            repair = self.parameterAsBool(parameters, "REPAIR", context)
            return self.command(
                parameters, context, feedback, path, extent=extent, gsd=gsd, resample=gsd is not None, repair=repair, **further
            )

    def _ground(self, parameters, context, source, gsd_m: float | None) -> dict[str, str | int | float]:
        """Center, size in pixels and pixel size, as the server wants them."""
        margin_m = 0.0 if self.stated(parameters, "EXTENT") else 10.0
        box = self.parameterAsExtent(parameters, "EXTENT", context, WGS84)
        if box.isEmpty():
            to_degrees = QgsCoordinateTransform(source.sourceCrs(), WGS84, context.transformContext())
            box = to_degrees.transformBoundingBox(source.sourceExtent())
        center = box.center()
        zone = QgsCoordinateReferenceSystem(f"EPSG:{_utm(center.x(), center.y())}")
        ground = QgsCoordinateTransform(WGS84, zone, context.transformContext()).transformBoundingBox(box)
        try:
            pixel_m = gsd_m or float(
                f"{Settings.now().asked().model(self.text(parameters, 'RUN', context))['pixel_size_m'] or 1:.3g}"
            )
        except ServerError as error:
            raise QgsProcessingException(str(error)) from error
        width, height = (math.ceil((side + 2 * margin_m) / pixel_m) for side in (ground.width(), ground.height()))
        return {"width": width, "height": height, "pixel_size_m": pixel_m, "center": f"{center.x():.9f},{center.y():.9f}"}


def _utm(lon: float, lat: float) -> int:
    """EPSG code of the UTM zone, for sizes in metres."""
    return (32600 if lat >= 0 else 32700) + min(60, int((lon + 180) // 6) + 1)
