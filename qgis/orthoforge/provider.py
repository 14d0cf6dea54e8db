"""The provider of Orthoforge's algorithms."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsNetworkAccessManager, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from . import settings
from .algorithms import ALGORITHMS


def plugin_icon() -> QIcon:
    """Half a mask, half an image."""
    return QIcon(str(Path(__file__).with_name("icon.svg")))


class Provider(QgsProcessingProvider):
    """``orthoforge:…`` in the toolbox, in models and in ``qgis_process``."""

    def __init__(self) -> None:
        super().__init__()
        self._preprocessor = None

    def id(self) -> str:
        return "orthoforge"

    def name(self) -> str:
        return settings.GROUP

    def icon(self) -> QIcon:
        return plugin_icon()

    def load(self) -> bool:
        settings.add(self.icon())
        self._preprocessor = settings.send_key_along()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        settings.remove()
        if self._preprocessor is not None:
            QgsNetworkAccessManager.removeRequestPreprocessor(self._preprocessor)

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        return ["tif"]

    def loadAlgorithms(self) -> None:
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())
