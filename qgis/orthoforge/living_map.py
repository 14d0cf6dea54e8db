"""A living map of a server as a raster layer."""

from __future__ import annotations

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsProcessingException,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)

from .server import Server
from .tile_source import layer_name, xyz_source
from .written_layers import WGS84


def living_map_layer(
    server: Server,
    name: str,
    *,
    model: str | None = None,
    style: str | None = None,
    seed: int | None = None,
    masks: bool = False,
) -> QgsRasterLayer:
    """The map ``name`` as an XYZ layer; or with ``masks`` the mask that it is made of.

    ``ServerError`` with the server's words, ``QgsProcessingException`` where QGIS takes no such layer.
    """
    said = server.tilejson(name, masks=masks, model=model, **({} if masks else {"style": style, "seed": seed}))
    title = f"{name}, mask" if masks else layer_name(name, style, seed)
    layer = QgsRasterLayer(xyz_source(said, server.url), title, "wms")
    if not layer.isValid():
        raise QgsProcessingException(f"{title}: {layer.error().summary() or 'QGIS cannot open the layer'}")
    layer.setAttribution(said.get("attribution", ""))
    layer.setAbstract(said.get("description", ""))
    west, south, east, north = said["bounds"]
    layer.setCustomProperty("orthoforge/bounds", f"{west},{south},{east},{north}")
    return layer


def ground_of(layer: QgsRasterLayer, crs: QgsCoordinateReferenceSystem) -> QgsRectangle:
    """The ground of a living map, in ``crs``; the layer itself covers the world."""
    west, south, east, north = map(float, layer.customProperty("orthoforge/bounds").split(","))
    moved = QgsCoordinateTransform(WGS84, crs, QgsProject.instance().transformContext())
    return moved.transformBoundingBox(QgsRectangle(west, south, east, north))
