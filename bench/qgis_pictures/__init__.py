"""QGIS without a screen, beside a server."""
