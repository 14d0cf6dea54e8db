"""Commands that give away what was made: publish, export."""

import sys
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from orthoforge.cli.options import Out


def publish(
    run: Positional[str],
    *,
    out: Out,
    name: str | None = None,
    card: Path | None = None,
    push: str | None = None,
    refinement: float | None = None,
    full_precision: bool = False,
    overwrite: bool = False,
) -> None:
    """Write the generator of a run as a folder for others: weights, recipe, model card, metadata for catalogues.

    generate, evaluate, compare, utility and grow take the folder in place of a run. It follows the conventions of the Hugging Face
    hub.

    Args:
        run: A run folder, one of its checkpoints such as RUN/weights/best, a published folder, or the name of weights that
            come with the package: orthoforge-material, orthoforge-landcover, orthoforge-s.
        out: Folder to write.
        name: Name of the model. That of the folder when left out.
        card: YAML file with what only people know: sources, licences, scores, limits.
        push: Also upload it to this repository of the Hugging Face hub, owner/name.
        refinement: For weights with material: how much their network may change what was composed of it unless `generate` is told
            otherwise, from 0 (nothing) to 1.
        full_precision: Keep weights as float32, which is twice as large. Without it they are float16.
        overwrite: Replace a folder that was published before.
    """
    from orthoforge.hub import CardFacts, publish, read_facts

    facts = read_facts(card) if card else CardFacts()
    if not facts.license:
        print(
            "warning: no licence was given: the card says `license: unknown`, and nobody may pass the weights on. Give one in the "
            "file of --card, by a line such as `license: Apache-2.0`.",
            file=sys.stderr,
        )
    folder = publish(
        run, out, name=name, card=facts, push=push, refinement=refinement, full_precision=full_precision, overwrite=overwrite
    )
    print(folder)
    if push:
        print(f"uploaded to {push}")


def export(
    run: Positional[str],
    *,
    out: Out,
    to: Literal["onnx", "openvino", "torch"] = "onnx",
    style: str | None = None,
    seed: int | None = None,
    size: int | None = None,
    int8: Path | None = None,
    licence: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write the generator of a run as one file in ONNX, OpenVINO or TorchScript, for programs that know nothing of Orthoforge.

    Classes, pixel size, places, licence and attribution are in its metadata. Needs the extra export.

    Args:
        run: A run folder, one of its checkpoints such as RUN/weights/best, a published folder, or the name of weights that
            come with the package: orthoforge-material, orthoforge-landcover, orthoforge-s.
        out: File to write: .onnx, .xml (with a .bin beside it) or .pt.
        to: onnx, openvino, or torch (TorchScript).
        style: Fix the look to that of a place of the run. When left out, the look is an input.
        seed: Fix noise and look. Needs --size. When left out, the noise is an input.
        size: Side of the masks in pixels. When left out, masks may have any size.
        int8: Prepared tiles. Weights and maps of an ONNX file are then stored in eight bits. It is refused where scores on these
            tiles become worse.
        licence: Licence of the weights, such as CC-BY-4.0. That of a published folder when left out.
        overwrite: Replace a file that is there.
    """
    from orthoforge.exporting.export import export

    print(export(run, out, to=to, style=style, seed=seed, size=size, int8=int8, licence=licence, overwrite=overwrite))
