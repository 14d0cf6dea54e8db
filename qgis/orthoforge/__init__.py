"""Orthoforge in QGIS: algorithms that call the command ``orthoforge`` or a server, and living maps as layers."""


def classFactory(iface):
    """The plugin; ``iface`` is ``None`` where there is no window."""
    from .plugin import Plugin

    return Plugin(iface)
