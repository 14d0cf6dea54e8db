"""A data set, grown by synthetic pairs."""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
)

from .algorithm import Algorithm, options, run_command

_MASKS = ("real", "transform", "recombine", "streets")
_MASKS_WORDS = (
    "real: the training masks again", "transform: the training masks, changed", "recombine: real footprints in new blocks",
    "streets: buildings along new streets",
)  # fmt: skip


class GrownDataSet(Algorithm):
    """The command ``orthoforge grow``."""

    NAME, TITLE = "growdataset", "Grow a data set by synthetic pairs"
    HELP = (
        "Makes a larger data set for training a segmenter: the real pairs of images and masks, and synthetic ones that only train. "
        "A segmenter rejects images in which it does not find the mask. The command orthoforge works; it may take long."
    )

    def initAlgorithm(self, config=None) -> None:
        folder = QgsProcessingParameterFile.Folder
        self.explained(
            QgsProcessingParameterFile("DATA", "Data set", folder), "A folder with images and masks, such as images/ and masks/."
        )
        self.add_run()
        self.explained(
            QgsProcessingParameterNumber(
                "RATIO", "Synthetic pairs for each real one", QgsProcessingParameterNumber.Double, 1.0, minValue=0.0
            ),
            "Number of synthetic pairs for each real pair that trains (--ratio).",
        )
        self.explained(
            QgsProcessingParameterEnum("MASKS", "Masks", _MASKS_WORDS, defaultValue=0), "Where their masks come from (--masks)."
        )
        self.explained(
            QgsProcessingParameterNumber(
                "AGREEMENT", "Least agreement", QgsProcessingParameterNumber.Double, optional=True, minValue=0.0, maxValue=1.0
            ),
            "Images in which a segmenter recognises less than this share of what it recognises in real ones are rejected. 0 leaves "
            "the segmenter out. Empty: 0.5, or 0 where the run has no tiles (--least-agreement).",
        )
        self.explained(
            QgsProcessingParameterFile("TILES", "Tiles of the data set", folder, optional=True),
            "Cut by orthoforge prepare. They say which scenes train, for weights that come with the package (--tiles).",
        )
        self.explained(
            QgsProcessingParameterEnum("SPLIT", "Split", ("of the run's tiles", "digits", "inria"), defaultValue=0),
            "Without tiles: which scenes train, by their numbers (--split).",
            advanced=True,
        )
        self.explained(
            QgsProcessingParameterNumber(
                "PIXEL_SIZE", "Pixel size in metres", QgsProcessingParameterNumber.Double, optional=True, minValue=0.01
            ),
            "For images without coordinates (--pixel-size).",
            advanced=True,
        )  # fmt: skip
        self.add_seed()
        self.add_device()
        self.explained(
            QgsProcessingParameterBoolean("OVERWRITE", "Replace a data set that was grown here with other settings", False),
            "Without it the same settings go on where they were stopped (--overwrite).",
            advanced=True,
        )
        self.addParameter(QgsProcessingParameterFolderDestination("OUTPUT", "Larger data set"))

    def processAlgorithm(self, parameters, context, feedback) -> dict[str, str]:
        out = self.parameterAsString(parameters, "OUTPUT", context)
        split = self.parameterAsEnum(parameters, "SPLIT", context)
        agreement = self.parameterAsDouble(parameters, "AGREEMENT", context) if self.stated(parameters, "AGREEMENT") else None
        said = options(
            ratio=self.parameterAsDouble(parameters, "RATIO", context),
            masks=_MASKS[self.parameterAsEnum(parameters, "MASKS", context)],
            least_agreement=agreement, tiles=self.text(parameters, "TILES", context),
            split=(None, "digits", "inria")[split], seed=self.parameterAsInt(parameters, "SEED", context),
            pixel_size=self.parameterAsDouble(parameters, "PIXEL_SIZE", context) if self.stated(parameters, "PIXEL_SIZE") else None,
            device=self.text(parameters, "DEVICE", context), overwrite=self.parameterAsBool(parameters, "OVERWRITE", context),
        )  # fmt: skip
        run = self.text(parameters, "RUN", context) or "orthoforge-material"
        run_command(["grow", run, self.text(parameters, "DATA", context), "--out", str(Path(out)), *said], feedback)
        return {"OUTPUT": out}
