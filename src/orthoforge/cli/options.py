"""Options that several commands have."""

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

Out = Annotated[Path, arg(aliases=("-o",))]
"""Where a command writes: ``--out`` or ``-o``."""
OptionalOut = Annotated[Path | None, arg(aliases=("-o",))]
"""The same where it may be left out."""

PixelSize = Annotated[
    float | Path | None,
    arg(
        help="Metres of a pixel on the ground, such as 0.3, for files without coordinates. Or a table (.csv) of file names and "
        "metres. A file that says its own keeps it. When left out, a table pixel_size.csv beside the files, or one folder above, "
        "is used. Without one, a command with a run takes the run's."
    ),
]
"""How large pixels are where files do not say it: the same in every command that reads such files."""


def said_device(names: str) -> str:
    """The device that ``--device`` means here; what it is becomes the first line on stderr. Several are named with commas.

    ``ConfigError`` when one of them is not here.
    """
    from orthoforge.devices import chosen_devices, device_words

    chosen = chosen_devices(names)
    print(f"device: {'; '.join(map(device_words, chosen))}", file=sys.stderr)
    return ",".join(chosen)
