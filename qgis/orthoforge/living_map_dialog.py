"""The window that asks which living map to add."""

from __future__ import annotations

from qgis.core import QgsProcessingException, QgsProject
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)

from .living_map import ground_of, living_map_layer
from .server import ServerError
from .settings import Settings

_ADDRESS = "http://127.0.0.1:8000"
_MOST_SEED = 2**31 - 1


class LivingMapDialog(QDialog):
    """Looks at a server, lists its maps, models and styles, and adds the one that is chosen."""

    def __init__(self, parent=None, canvas=None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Add a living map")
        self._canvas, self._models = canvas, []
        self.address = QLineEdit(Settings.now().server or _ADDRESS)
        look = QPushButton("Connect")
        look.clicked.connect(self.look)
        self.map, self.model, self.style = QComboBox(), QComboBox(), QComboBox()
        self.model.currentIndexChanged.connect(self._show_styles)
        self.seed = QSpinBox(maximum=_MOST_SEED)
        self.with_mask = QCheckBox("Also add the mask that it is made of")
        self.said = QLabel("A map is generated tile by tile as you pan. Start a server with `orthoforge serve`.")
        self.said.setWordWrap(True)
        self.buttons = QDialogButtonBox(QDialogButtonBox.Ok | QDialogButtonBox.Cancel)
        self.buttons.button(QDialogButtonBox.Ok).setText("Add")
        self.buttons.button(QDialogButtonBox.Ok).setEnabled(False)
        self.buttons.accepted.connect(self.add)
        self.buttons.rejected.connect(self.reject)
        server = QWidget()
        row = QHBoxLayout(server)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.address)
        row.addWidget(look)
        form = QFormLayout(self)
        for words, widget in (
            ("Server", server), ("Map", self.map), ("Model", self.model), ("Style", self.style), ("Seed", self.seed),
        ):  # fmt: skip
            form.addRow(words, widget)
        for widget in (self.with_mask, self.said, self.buttons):
            form.addRow(widget)
        self.setMinimumWidth(460)

    def look(self) -> bool:
        """List what the server has; whether it has a map."""
        self.map.clear()
        self.model.clear()
        try:
            server = Settings.now().asked(self.address.text().strip())
            maps, self._models = server.maps(), server.models()
        except (ServerError, QgsProcessingException) as error:
            maps, self._models = [], []
            self.said.setText(str(error))
        else:
            self.said.setText("" if maps else "This server has no maps. Start it with --layers, as in `--layers town.gpkg`.")
        self.map.addItems(maps)
        self.model.addItems([one["name"] for one in self._models])
        self.buttons.button(QDialogButtonBox.Ok).setEnabled(bool(maps))
        return bool(maps)

    def add(self) -> None:
        """Add the map to the project, and go there."""
        style = self.style.currentData()
        try:
            server = Settings.now().asked(self.address.text().strip())
            chosen = {"model": self.model.currentText() or None, "style": style, "seed": self.seed.value()}
            layers = [living_map_layer(server, self.map.currentText(), **chosen)]
            if self.with_mask.isChecked():
                layers.append(living_map_layer(server, self.map.currentText(), model=chosen["model"], masks=True))
        except (ServerError, QgsProcessingException) as error:
            self.said.setText(str(error))
            return
        QgsProject.instance().addMapLayers(layers[::-1])
        if self._canvas is not None:
            self._canvas.setExtent(ground_of(layers[0], self._canvas.mapSettings().destinationCrs()))
            self._canvas.refresh()
        self.accept()

    def _show_styles(self, index: int) -> None:
        self.style.clear()
        self.style.addItem("by the seed", None)
        for style in self._models[index]["styles"] if 0 <= index < len(self._models) else ():
            self.style.addItem(style, style)
