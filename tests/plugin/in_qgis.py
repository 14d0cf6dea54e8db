"""Runs the plugin in QGIS's own Python, without a screen: ``/usr/bin/python3 in_qgis.py TASK``. The answer lies beside the task."""

import json
import sys
import time
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor


class Feedback(QgsProcessingFeedback):
    """Keeps what it is told, and cancels at the first line that holds ``cancel_at``."""

    def __init__(self, cancel_at: str = "") -> None:
        super().__init__(False)
        self.said, self.warned, self.shares, self.cancel_at = [], [], [], cancel_at
        self.progressChanged.connect(self.shares.append)

    def pushInfo(self, line: str) -> None:
        self.said.append(line)
        if self.cancel_at and self.cancel_at in line:
            self.cancel()

    def pushWarning(self, line: str) -> None:
        self.warned.append(line)


def main(task_path: Path) -> None:
    task = json.loads(task_path.read_text("utf-8"))
    sys.path[:0] = [task["plugins"], "/usr/share/qgis/python/plugins"]
    application = QgsApplication([], True)
    application.initQgis()
    from processing.core.Processing import Processing

    Processing.initialize()
    import orthoforge

    plugin = orthoforge.classFactory(None)
    plugin.initProcessing()
    answers = []
    for step in task["steps"]:
        print(step, file=sys.stderr, flush=True)  # the last one is to blame where none answers
        answers.append(ANSWERS[step.pop("do")](**step))
    task_path.with_name("answer.json").write_text(json.dumps(answers), "utf-8")
    plugin.unload()
    QgsProject.instance().clear()
    application.exitQgis()


def settings(**values: str) -> None:
    from processing.core.ProcessingConfig import ProcessingConfig

    for name, value in values.items():
        ProcessingConfig.setSettingValue(f"ORTHOFORGE_{name.upper()}", value)


def run(name: str, cancel_at: str = "", **parameters: object) -> dict:
    """Run an algorithm: its results or its error, what it said, and how long it took."""
    import processing

    feedback, began = Feedback(cancel_at), time.monotonic()
    answer = {"results": {}, "error": ""}
    try:
        results = processing.run(f"orthoforge:{name}", parameters, feedback=feedback)
        answer["results"] = {key: value for key, value in results.items() if isinstance(value, (str, list))}
    except QgsProcessingException as error:
        answer["error"] = str(error)
    seconds = time.monotonic() - began
    return answer | {"said": feedback.said, "warned": feedback.warned, "shares": feedback.shares, "seconds": seconds}


def described() -> dict:
    """Each algorithm with its parameters, and whether each has a help."""
    provider = QgsApplication.processingRegistry().providerById("orthoforge")
    return {
        algorithm.name(): {one.name(): one.help() for one in algorithm.parameterDefinitions() if not one.isDestination()}
        for algorithm in provider.algorithms()
    }


def memory_layer(source: str, uri: str, name: str) -> str:
    """Copy a file's features into a layer in memory, which only QGIS has."""
    there, layer = QgsVectorLayer(source, "source", "ogr"), QgsVectorLayer(uri, name, "memory")
    layer.dataProvider().addFeatures(list(there.getFeatures()))
    layer.updateExtents()
    QgsProject.instance().addMapLayer(layer)
    return layer.id()


def draw(
    out: str, extent: list[float], crs: str, size: list[int], raster: str = "", vector: str = "", living: dict | None = None
) -> dict:
    """Render one layer: a raster file, a vector file in white, or a living map by the action's own function."""
    if living is not None:
        from orthoforge.living_map import living_map_layer
        from orthoforge.settings import Settings

        layer = living_map_layer(Settings.now().asked(), **living)
    elif raster:
        layer = QgsRasterLayer(raster, "raster", "gdal")
    else:
        layer = QgsVectorLayer(vector, "vector", "ogr")
        layer.renderer().symbol().setColor(QColor("white"))
        layer.renderer().symbol().symbolLayer(0).setStrokeStyle(0)
    shown = QgsMapSettings()
    shown.setLayers([layer])
    shown.setDestinationCrs(QgsCoordinateReferenceSystem(crs))
    shown.setExtent(QgsRectangle(*extent))
    shown.setOutputSize(QSize(*size))
    shown.setBackgroundColor(QColor("black"))
    shown.setFlag(QgsMapSettings.Antialiasing, True)
    job = QgsMapRendererParallelJob(shown)
    began = time.monotonic()
    job.start()
    job.waitForFinished()
    job.renderedImage().save(out)
    drawn = shown.visibleExtent()
    extent = [drawn.xMinimum(), drawn.yMinimum(), drawn.xMaximum(), drawn.yMaximum()]
    return {"valid": layer.isValid(), "extent": extent, "attribution": layer.attribution(), "source": layer.source(),
            "seconds": time.monotonic() - began, "errors": [error.message for error in job.errors()]}  # fmt: skip


def dialog(address: str, style: str, seed: int) -> dict:
    """Choose in the window of the action as a user would."""
    from orthoforge.living_map_dialog import LivingMapDialog

    window = LivingMapDialog()
    window.address.setText("http://127.0.0.1:9")
    found = window.look()
    refused = window.said.text()
    window.address.setText(address)
    window.look()
    window.style.setCurrentText(style)
    window.seed.setValue(seed)
    window.with_mask.setChecked(True)
    maps = [window.map.itemText(index) for index in range(window.map.count())]
    window.add()
    layers = {layer.name(): layer.source() for layer in QgsProject.instance().mapLayers().values() if layer.type() == 1}
    return {"found": found, "refused": refused, "maps": maps, "layers": layers, "said": window.said.text()}


ANSWERS = {
    "settings": settings, "run": run, "described": described, "memory_layer": memory_layer, "draw": draw, "dialog": dialog,
}  # fmt: skip

if __name__ == "__main__":
    main(Path(sys.argv[1]))
