"""``python -m orthoforge.cli``, which is what torchrun starts."""

import sys

from orthoforge.cli import main

sys.exit(main())
