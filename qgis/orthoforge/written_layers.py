"""Layers of a project as files that a command or a server reads."""

from __future__ import annotations

import re
from pathlib import Path

from osgeo import gdal
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsFeatureSink,
    QgsFeatureSource,
    QgsFields,
    QgsProcessingException,
    QgsProject,
    QgsRasterLayer,
    QgsVectorFileWriter,
    QgsWkbTypes,
)

WGS84 = QgsCoordinateReferenceSystem("EPSG:4326")
_KEYS = ("fid", "ogc_fid")  # a GeoPackage has its own; those of a layer need not be unique


def write_features(source: QgsFeatureSource, path: Path, *, layer: str = "", feedback=None) -> Path:
    """Write features in their own CRS to a GeoPackage, as its layer ``layer``; or in degrees to a GeoJSON.

    Layers of a GeoPackage that is there already stay. ``QgsProcessingException`` where there is no CRS, or no room.
    """
    crs = source.sourceCrs()
    if not crs.isValid():
        raise QgsProcessingException(f"{source.sourceName()}: the layer has no CRS. Set it: Layer > Set CRS of Layer(s).")
    options = QgsVectorFileWriter.SaveVectorOptions()
    is_json = path.suffix == ".geojson"
    options.driverName = "GeoJSON" if is_json else "GPKG"
    options.layerName = layer or path.stem
    options.fileEncoding = "UTF-8"
    if path.exists():
        options.actionOnExistingFile = QgsVectorFileWriter.CreateOrOverwriteLayer
    kept = [index for index, field in enumerate(source.fields()) if field.name().lower() not in _KEYS]
    fields = QgsFields()
    for index in kept:
        fields.append(source.fields().at(index))
    written_crs = WGS84 if is_json else crs
    context = QgsProject.instance().transformContext()
    writer = QgsVectorFileWriter.create(str(path), fields, source.wkbType(), written_crs, context, options)
    _require_sound(writer, path)
    moved = QgsCoordinateTransform(crs, written_crs, context) if written_crs != crs else None
    for feature in source.getFeatures():
        if feedback is not None and feedback.isCanceled():
            break
        one = QgsFeature(fields)
        geometry = feature.geometry()
        if moved is not None:
            geometry.transform(moved)
        one.setGeometry(geometry)
        one.setAttributes([feature.attributes()[index] for index in kept])
        writer.addFeature(one, QgsFeatureSink.FastInsert)
    writer.flushBuffer()
    _require_sound(writer, path)
    del writer  # closes the file
    return path


def write_layers(layers, path: Path, feedback=None) -> Path:
    """Write vector layers to one GeoPackage, each under its name, by which Orthoforge knows roads from water.

    ``QgsProcessingException`` for two of one name, of which the second would take the place of the first.
    """
    seen = set()
    for layer in layers:
        if layer.name().lower() in seen:
            raise QgsProcessingException(f"Two layers are called {layer.name()}. Rename one of them, as in {layer.name()}_2.")
        seen.add(layer.name().lower())
        write_features(layer, path, layer=layer.name(), feedback=feedback)
    return path


def write_mask(layer: QgsRasterLayer, folder: Path) -> Path:
    """Write a raster layer, in the CRS that the project says it has, to a GeoTIFF under the layer's name."""
    if layer.providerType() != "gdal":
        raise QgsProcessingException(f"{layer.name()}: comes from {layer.providerType()}. Save it as a GeoTIFF first.")
    path = folder / f"{file_name(layer.name())}.tif"
    options = {"format": "GTiff", "creationOptions": ["COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"]}
    if layer.crs().isValid():
        options["outputSRS"] = layer.crs().toWkt()
    gdal.ErrorReset()
    made = gdal.Translate(str(path), layer.dataProvider().dataSourceUri(), **options)
    if made is None or gdal.GetLastErrorType() >= gdal.CE_Failure:
        raise QgsProcessingException(f"{layer.name()}: cannot be written to {path} ({gdal.GetLastErrorMsg()}).")
    del made  # closes the file
    return path


def _require_sound(writer: QgsVectorFileWriter, path: Path) -> None:
    if writer.hasError() != QgsVectorFileWriter.NoError:
        raise QgsProcessingException(f"{path}: cannot be written ({writer.errorMessage()}).")


def file_name(name: str) -> str:
    """A name for a file out of that of a layer."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "mask"


def require_polygons(layer) -> None:
    """``QgsProcessingException`` for a vector layer of lines or points."""
    if QgsWkbTypes.geometryType(layer.wkbType()) != QgsWkbTypes.PolygonGeometry:
        raise QgsProcessingException(f"{layer.name()}: holds no polygons. Choose footprints or a mask.")
