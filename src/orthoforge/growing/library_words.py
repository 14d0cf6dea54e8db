"""What a data card says of masks of the weights' material: whose ground they are, and what a split has to do with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from orthoforge.growing.training_ground import Ground
from orthoforge.trained_generator import TrainedGenerator


@dataclass(frozen=True)
class LibraryWords:
    """Of which tiles the material is, and of which ``places``: those that the real pairs are cut into, others, or nobody knows."""

    of: Literal["these tiles", "other places", "unknown"]
    places: str

    @property
    def masks(self) -> str:
        """Where the masks come from."""
        if self.of == "these tiles":
            return "They are of the training tiles of the real pairs, of which the material is."
        if self.of == "other places":
            return f"They are of other places than the real pairs ({self.places}), so no split of the real pairs is behind them."
        return f"They are of {self.places}. Whether the tiles of that material show ground of the real pairs is not known here."

    @property
    def limit(self) -> str:
        """What images of other places can show."""
        return (
            f"Masks, roofs and ground are those of the material, of {self.places}. The synthetic pairs show what is there, again "
            "and again, and nothing of the places of the real pairs."
        )

    def split(self, of_histograms: str | None) -> str:
        """What to know of splits, where the material is of other places; ``of_histograms`` split the tiles that gave histograms."""
        free = "The real pairs may be split in any way: masks, roofs and ground of the synthetic ones are of other places."
        if of_histograms is None:
            return free
        return f"{free} Their histograms are of training tiles by {of_histograms}; another split may hold some of those tiles back."


def library_words(generator: TrainedGenerator, settings: Mapping[str, Any], ground: Ground) -> LibraryWords:
    """What is known of the material, by the checksum of the tiles that it is of, or else by the names of places."""
    tiles = generator.saved.state.tiles
    fingerprint = tiles.material.fingerprint if tiles.material else tiles.fingerprint
    places = ", ".join(generator.styles)
    if settings["tiles"] and fingerprint == settings["tiles"]:
        return LibraryWords("these tiles", places)
    apart = not {name.lower() for name in generator.styles} & {name.lower() for name in ground.real_pairs}
    return LibraryWords("other places" if apart else "unknown", places)
