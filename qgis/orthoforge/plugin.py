"""What QGIS loads: the provider of algorithms, and the action that adds a living map."""

from __future__ import annotations

from qgis.core import QgsApplication
from qgis.PyQt.QtWidgets import QAction

from .provider import Provider, plugin_icon

_MENU = "&Orthoforge"


class Plugin:
    """Adds them to QGIS, and takes them away again."""

    def __init__(self, iface) -> None:
        self._iface = iface
        self._provider = self._action = None

    def initProcessing(self) -> None:
        """The algorithms alone, as ``qgis_process`` wants them."""
        self._provider = Provider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """The algorithms, and the action in the menu Web and its tool bar."""
        self.initProcessing()
        self._action = QAction(plugin_icon(), "Add a living map…", self._iface.mainWindow())
        self._action.triggered.connect(self.add_living_map)
        self._iface.addPluginToWebMenu(_MENU, self._action)
        self._iface.addWebToolBarIcon(self._action)

    def unload(self) -> None:
        """Leave nothing behind."""
        if self._action is not None:
            self._iface.removePluginWebMenu(_MENU, self._action)
            self._iface.removeWebToolBarIcon(self._action)
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)

    def add_living_map(self) -> None:
        """Ask which map, and add it to the project."""
        from .living_map_dialog import LivingMapDialog

        LivingMapDialog(self._iface.mainWindow(), self._iface.mapCanvas()).exec_()
