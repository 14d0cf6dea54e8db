"""Whether trained weights know the classes of the tiles that they are to go on with."""

from orthoforge import checkpoint_state
from orthoforge.errors import CheckpointError
from orthoforge.masks.classes import Classes


def require_classes(known: checkpoint_state.Classes | None, classes: Classes | None, source: str) -> list[str]:
    """Whether weights that know some classes can begin a training on tiles of others; ``None`` are buildings alone.

    ``CheckpointError`` in words where they cannot. What is returned is to be said: classes of the same number whose names differ.
    """
    knows, has = tuple(known.names) if known else None, classes.names if classes else None
    if knows is None and has is None:
        return []
    if knows is None or has is None or len(knows) != len(has):
        way_out = "Begin with a run that was trained on these classes, or leave --init-from out."
        if knows is None and classes and classes.building is not None:
            way_out += f" To train on buildings alone, prepare the tiles with --building {classes.names[classes.building]!r}."
        raise CheckpointError(f"{source}: its weights know {_told(knows)}; the tiles have {_told(has)}. {way_out}")
    if knows == has:
        return []
    return [f"{source}: its weights know {_told(knows)}; the tiles have {_told(has)}. Each class begins as the one in its place."]


def _told(names: tuple[str, ...] | None) -> str:
    return "buildings alone" if names is None else f"{len(names)} classes ({', '.join(names)})"
