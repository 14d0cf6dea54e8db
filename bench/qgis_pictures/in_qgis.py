"""What QGIS itself draws of a generated image and of a living map, without a screen: ``/usr/bin/python3 in_qgis.py TASK``."""
# mypy: ignore-errors
# QGIS has a Python of its own, in which this runs.

import faulthandler
import json
import os
import sys
from pathlib import Path
from unittest.mock import MagicMock

import qgis.utils
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFillSymbol,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtWidgets import QMainWindow

WEB = QgsCoordinateReferenceSystem("EPSG:3857")
OUTLINES = {"color": "0,0,0,0", "outline_color": "#ffe600", "outline_width": "0.5"}
FILLED = {"color": "white", "outline_style": "no"}


def main(task: dict) -> None:
    sys.path[:0] = [task["plugins"], "/usr/share/qgis/python/plugins"]
    application = QgsApplication([], True)
    application.initQgis()
    from processing.core.Processing import Processing

    Processing.initialize()
    window = QMainWindow()
    qgis.utils.iface = MagicMock()
    qgis.utils.iface.mainWindow.return_value = window
    qgis.utils.iface.mapCanvas.return_value = QgsMapCanvas(window)
    import orthoforge

    plugin = orthoforge.classFactory(None)  # kept, as QGIS keeps it
    plugin.initProcessing()
    windows(task, footprints(task, OUTLINES), application)
    layers = {"image": QgsRasterLayer(task["image"], "image", "gdal"), "footprints": footprints(task, OUTLINES)}
    layers["filled"] = footprints(task, FILLED)
    add_map(task["server"], layers)
    for drawing in task["drawings"].values():
        draw(layers, **drawing)
    os._exit(0)  # Qt takes windows and layers apart in an order in which Python's own end crashes


def footprints(task: dict, look: dict) -> QgsVectorLayer:
    layer = QgsVectorLayer(task["footprints"], "town", "ogr")
    layer.renderer().setSymbol(QgsFillSymbol.createSimple(look))
    return layer


def add_map(server: str, layers: dict) -> None:
    """By the action's own window."""
    from orthoforge.living_map_dialog import LivingMapDialog

    window = LivingMapDialog()
    window.address.setText(server)
    assert window.look(), window.said.text()
    window.with_mask.setChecked(True)
    window.add()
    for layer in (one for one in QgsProject.instance().mapLayers().values() if isinstance(one, QgsRasterLayer)):
        layers["map mask" if layer.name().endswith("mask") else "map"] = layer


def draw(layers: dict, *, show: list, extent: list, size: list, out: str) -> None:
    """Draw layers, the first one on top."""
    shown = QgsMapSettings()
    shown.setLayers([layers[name] for name in show])
    shown.setDestinationCrs(WEB)
    shown.setExtent(QgsRectangle(*extent))
    shown.setOutputSize(QSize(*size))
    shown.setBackgroundColor(QColor("black"))
    job = QgsMapRendererParallelJob(shown)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(out)


def windows(task: dict, layer: QgsVectorLayer, application: QgsApplication) -> None:
    """The windows of an algorithm and of the action."""
    from orthoforge.living_map_dialog import LivingMapDialog
    from processing.gui.AlgorithmDialog import AlgorithmDialog

    QgsProject.instance().addMapLayer(layer)
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("orthoforge:imagefromfootprints")
    asked = AlgorithmDialog(algorithm, False, qgis.utils.iface.mainWindow())
    asked.resize(860, 600)
    action = LivingMapDialog()
    action.address.setText(task["server"])
    action.look()
    action.address.setText("http://127.0.0.1:8000")
    for window, out in ((asked, task["algorithm"]), (action, task["action"])):
        window.show()
        application.processEvents()
        window.grab().save(out)


if __name__ == "__main__":
    faulthandler.enable()
    main(json.loads(Path(sys.argv[1]).read_text("utf-8")))
