"""Commands that give away what was made: publish."""

from pathlib import Path

from tyro.conf import Positional


def publish(
    run: Positional[str],
    *,
    out: Path,
    name: str | None = None,
    card: Path | None = None,
    push: str | None = None,
    full_precision: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a run's generator as a folder for others: weights, recipe, model card, metadata for catalogues.

    The folder takes the place of a run in generate, evaluate, compare, utility and grow, and follows the conventions of the Hugging
    Face hub.

    Args:
        run: A run folder, or one of its checkpoints such as RUN/weights/best.
        out: Folder to write.
        name: Of the model; that of the folder when left out.
        card: YAML file of what only people know: sources, licences, scores, limits.
        push: Upload it too, to this repository of the Hugging Face hub, owner/name.
        full_precision: Keep weights as float32, twice as large; they are halved otherwise.
        overwrite: Replace a folder that was published before.
    """
    from orthoforge.hub import publish

    print(publish(run, out, name=name, card=card, push=push, full_precision=full_precision, overwrite=overwrite))
    if push:
        print(f"uploaded to {push}")
