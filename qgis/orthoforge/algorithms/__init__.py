"""The algorithms of the toolbox."""

from .forged import ForgedMasks, ForgedOnServer
from .grown import GrownDataSet
from .images import ImageFromFootprints, ImageFromMask

ALGORITHMS = (ImageFromMask, ImageFromFootprints, ForgedMasks, ForgedOnServer, GrownDataSet)
