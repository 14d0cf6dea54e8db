"""What QGIS is told of a living map's tiles. Knows nothing of QGIS."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping

_FROM = "/v1/maps/"


def xyz_source(tilejson: Mapping, server_url: str) -> str:
    """The source of an XYZ layer: where tiles lie at the address that *we* know, and their zooms.

    A server behind a proxy may know its own address otherwise.
    """
    template = tilejson["tiles"][0]
    url = server_url.rstrip("/") + template[template.index(_FROM) :]
    # QGIS takes the source apart at & and =, and replaces {z}, {x} and {y} afterwards.
    said = urllib.parse.quote(url, safe=":/{}")
    return f"type=xyz&url={said}&zmin={int(tilejson['minzoom'])}&zmax={int(tilejson['maxzoom'])}"


def layer_name(name: str, style: str | None, seed: int | None) -> str:
    """What the layer is called: the map, and which world it is."""
    return ", ".join([name, *([style] if style else []), *([] if seed is None else [f"seed {seed}"])])
