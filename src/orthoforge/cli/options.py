"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

Out = Annotated[Path, arg(aliases=("-o",))]
"""Where a command writes: ``--out`` or ``-o``."""
OptionalOut = Annotated[Path | None, arg(aliases=("-o",))]
"""The same where it may be left out."""
