"""Labels for other programs, of the masks beside images: COCO, YOLO segmentation, and masks with a number for each building."""

from orthoforge.labels.categories import Categories
from orthoforge.labels.folder import FORMATS, OTHER, Added, LabelFolder, LabelFormat, require_formats
from orthoforge.labels.instances import Instance, instances_of

__all__ = ["FORMATS", "OTHER", "Added", "Categories", "Instance", "LabelFolder", "LabelFormat", "instances_of", "require_formats"]
