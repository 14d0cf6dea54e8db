"""What goes beside generated images when it is asked for: their masks, and labels for other programs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orthoforge.errors import ConfigError, OutputExistsError
from orthoforge.generation.outputs import is_made
from orthoforge.geo.rasters import DRIVERS
from orthoforge.labels import Categories, Instance, LabelFolder, LabelFormat
from orthoforge.masks.classes import Classes
from orthoforge.masks.opening import FootprintsMask, SceneMask
from orthoforge.masks.palette import PALETTE, says, write_palette
from orthoforge.masks.writing import write_mask

IMAGES, MASKS = "images", "masks"


@dataclass(frozen=True)
class Beside:
    """Masks and labels that belong to images; ``labels`` is ``None`` where none were asked for, or ``out`` is no folder."""

    classes: Classes | None
    keeps_masks: bool
    is_folder: bool
    labels: LabelFolder | None

    @staticmethod
    def of(out: Path, classes: Classes | None, *, keep_mask: bool, labels: Sequence[LabelFormat]) -> "Beside":
        """For images that go to ``out``. ``ConfigError`` for labels of a single file, or unknown ones."""
        is_folder = out.suffix.lower() not in DRIVERS
        if labels and not is_folder:
            raise ConfigError(f"{out} is one file; labels are written for a folder of images. Make --out a folder.")
        return Beside(classes, keep_mask, is_folder, LabelFolder(out, labels, Categories.of(classes)) if labels else None)

    @property
    def makes_a_data_set(self) -> bool:
        """Whether images lie in a folder ``images``, so that others lie beside it."""
        return self.is_folder and (self.keeps_masks or self.labels is not None)

    def mask_path(self, image: Path) -> Path:
        """Where the mask of an image is kept: in the folder ``masks`` beside ``images``; of a single file as ``STEM_mask.tif``."""
        return image.parent.parent / MASKS / image.name if self.is_folder else image.with_name(f"{image.stem}_mask{image.suffix}")

    def require_own(self, source: Path, image: Path, identity: Mapping[str, str], *, overwrite: bool) -> None:
        """What would stop the mask of an image from being written, said before the image is made."""
        if not self.keeps_masks or self._is_there(source, image):
            return
        path = self.mask_path(image)
        if path.exists() and source.exists() and path.samefile(source):
            raise ConfigError(f"{path} is one of the inputs and would be replaced. Choose another --out.")
        if not overwrite:
            is_made(path, identity)
        palette = self._palette_of(path)
        if palette and palette.exists() and not overwrite and not says(palette, self.classes):
            raise OutputExistsError(
                f"{palette}: exists and is not the palette of this run, which would be written there. Choose another --out."
            )

    def is_complete(self, source: Path, image: Path) -> bool:
        """Whether all that belongs to an image is there."""
        masks = not self.keeps_masks or self._is_there(source, image) or self.mask_path(image).exists()
        return masks and (self.labels is None or self.labels.has(image))

    def write(
        self, source: Path, image: Path, mask: SceneMask, instances: Callable[[], list[Instance]], tags: Mapping[str, str]
    ) -> None:
        """Write what belongs to an image that is there, of the mask on its grid."""
        if self.keeps_masks and not self._is_there(source, image):
            told = {"IMAGE": image.name, "IMAGE_SYNTHETIC": "YES"}
            path = self.mask_path(image)
            palette = self._palette_of(path)
            if self.classes and palette and not (palette.exists() and says(palette, self.classes)):
                write_palette(palette, self.classes, overwrite=True)
            write_mask(path, mask, self.classes, tags=_without_the_images_own(tags) | told, overwrite=True)
        if self.labels is not None:
            self.labels.add(image, mask.grid, instances())

    def _palette_of(self, mask: Path) -> Path | None:
        """The file that says what masks of classes hold in a data set; ``None`` for masks of buildings, and beside one image."""
        return mask.parent.parent / PALETTE if self.classes and self.is_folder else None

    def _is_there(self, source: Path, image: Path) -> bool:
        """Whether the mask that was given lies already where it would be kept, under the image's name."""
        kept = self.mask_path(image)
        return (
            self.is_folder
            and source.suffix.lower() in DRIVERS
            and source.stem == image.stem
            and kept.parent.is_dir()
            and source.parent.exists()
            and kept.parent.samefile(source.parent)
        )


def require_numbered(source: Path, given: SceneMask, delivered: SceneMask) -> None:
    """``ConfigError`` where footprints are brought to another grid after they became a mask: which is which is lost there."""
    if isinstance(given, FootprintsMask) and delivered is not given:
        raise ConfigError(
            f"{source}: footprints on one grid and images on another: labels could not tell houses apart that touch. Leave out "
            "--deliver run, or leave out --gsd and --like: footprints become a mask at the run's resolution."
        )


def _without_the_images_own(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags without those that say that a file is a synthetic image: a mask is what was drawn."""
    return {name: value for name, value in tags.items() if name not in ("SYNTHETIC", "DIGITAL_SOURCE_TYPE")}
