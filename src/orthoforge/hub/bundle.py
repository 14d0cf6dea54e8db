"""Pretrained folders, written from a generator or a run.

A folder holds ``config.json`` and ``model.safetensors``, which ``orthoforge.checkpoints`` reads, ``README.md``, the model card,
and ``stac-item.json``.
"""

import dataclasses
import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from orthoforge.checkpoint_state import CONFIG, MATERIAL, MODEL
from orthoforge.checkpoints import FORMAT, SavedGenerator, checkpoint_folder, read_generator, run_folder, state_bytes
from orthoforge.config import FIELD_NAMES, Recipe, load_recipe, recipe_names, recipe_values
from orthoforge.errors import CheckpointError, ConfigError, OutputExistsError
from orthoforge.files import new_folder, require_free_space, require_place
from orthoforge.hub import remote
from orthoforge.hub.card import CardFacts, model_card, read_facts
from orthoforge.hub.mlm import NAME_PATTERN, ModelFile, mlm_item
from orthoforge.hub.remote import CARD, ITEM, KNOWN, LIBRARY, push_to_hub
from orthoforge.models.ground import GROUND_CELL, GROUND_SIDE
from orthoforge.models.noise import is_noisy
from orthoforge.run_files import RunArgs, read_args


def publish(
    run: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    card: CardFacts | str | Path | None = None,
    push: str | None = None,
    refinement: float | None = None,
    full_precision: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write the generator of a run as a folder for others, and upload it if asked to. Returns ``out``.

    ``run`` is a run folder or a checkpoint. ``name`` is the name of the model, that of the folder unless given. ``card`` holds what
    only people know: sources, licence, scores, limits. It is ``CardFacts`` or the path of a YAML file. ``push`` is a repository
    ``owner/name`` of the Hugging Face hub. ``refinement``, for weights with material, is the share of its network's changes that
    images get unless another is asked for (``TrainedGenerator.with_refinement``). Errors are those of ``save_pretrained`` and
    ``push_to_hub``; a missing extra is said before anything is written.

    Examples:
        >>> from orthoforge import load_generator, publish
        >>> folder = publish("runs/mine", "given-away")
        >>> load_generator(folder).styles
        ('austin', 'vienna')
    """
    facts = _facts(card)
    if push is not None:
        remote.require_repository_name(push)
        remote.require_client(f"uploading to {push}")
        facts = dataclasses.replace(facts, repository=push)
    save_pretrained(run, out, half=not full_precision, card=facts, name=name, refinement=refinement, overwrite=overwrite)
    if push is not None:
        push_to_hub(Path(out), push)
    return Path(out)


def save_pretrained(
    generator: SavedGenerator | str | Path,
    folder: str | Path,
    *,
    half: bool = True,
    card: CardFacts | str | Path | None = None,
    name: str | None = None,
    refinement: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a generator, or that of a run, as a pretrained folder that ``load_generator`` reads; returns ``folder``.

    With ``half``, weights are kept as float16 where their values fit into it; they come back as float32. Paths of this machine are
    left out. ``refinement`` is the share of its network's changes that images get by default, where it is another one than the
    generator's. The folder appears when it is whole and was read back; killed before, nothing of that name is there.

    Raises ``OutputExistsError`` when ``folder`` exists (with ``overwrite``, only when it holds other things than a pretrained
    folder does), ``ConfigError`` for a name, facts or a refinement that cannot be, or a generator that was made for one scene or
    style, ``CheckpointError`` for a damaged run, ``ResourceError`` for a full disk.
    """
    folder = Path(folder)
    require_place(folder, folder=True)
    args = None
    if not isinstance(generator, SavedGenerator):
        checkpoint = checkpoint_folder(Path(generator))
        args = _args(checkpoint)
        generator = read_generator(checkpoint)
    _require_all_styles(generator)
    if refinement is not None:
        generator = generator.with_refinement(refinement)
    facts = _facts(card)
    name = name or folder.resolve().name
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(
            f"{name!r} cannot be a model's name: letters, digits, '.', '_' and '-', at least three. Give one with --name."
        )
    payload = save(_stored(generator.network.state_dict(), half=half), metadata={"format": "pt"})
    held = {MODEL: payload} | ({MATERIAL: generator.material} if generator.material is not None else {})
    recipe = _told_recipe(generator.recipe)
    checksums = {file: hashlib.sha256(content).hexdigest() for file, content in held.items()}
    properties = _properties(generator, len(payload), half=half)
    started_from = _started_from(generator.recipe, args)
    text = model_card(
        name, facts, generator=generator, properties=properties, command=_command(generator.recipe),
        looked_through=_looked_through(generator.recipe),
    )  # fmt: skip
    contents = {
        CONFIG: state_bytes(_config(generator, recipe, checksums, half=half)),
        MODEL: payload,
        CARD: text.encode(),
        ITEM: _json_bytes(
            mlm_item(
                name, generator, recipe=recipe, model=ModelFile(MODEL, len(payload), checksums[MODEL]), license=facts.license,
                started_from=started_from, created=datetime.now(UTC),
            )
        ),
    }  # fmt: skip
    contents |= held
    _require_replaceable(folder, overwrite)
    with new_folder(folder.resolve(), overwrite=overwrite) as partial:
        require_free_space(folder.parent, sum(map(len, contents.values())), "a pretrained folder")
        for file, content in contents.items():
            (partial / file).write_bytes(content)
        try:
            read_generator(partial)
        except CheckpointError as error:
            raise ConfigError(
                f"this generator does not come back from its folder ({error}). One that was made by for_scene carries the scene's "
                "statistics: save the generator that it was made from."
            ) from error
    return folder


def _args(checkpoint: Path) -> RunArgs | None:
    """How the checkpoint's run was made: ``None`` where there is no run, or nothing that can be read."""
    try:
        return read_args(run_folder(checkpoint))
    except ConfigError:
        return None


def _facts(card: CardFacts | str | Path | None) -> CardFacts:
    if card is None:
        return CardFacts()
    return card if isinstance(card, CardFacts) else read_facts(Path(card))


def _stored(tensors: Mapping[str, Tensor], *, half: bool) -> dict[str, Tensor]:
    """Tensors as they are written. One with values beyond float16's stays as it is, and so do counters."""
    stored = {}
    for name, tensor in tensors.items():
        stored[name] = tensor.detach().cpu().contiguous()
        if half and tensor.dtype == torch.float32:
            halved = stored[name].half()
            stored[name] = halved if halved.isfinite().all() else stored[name]
    return stored


def _told_recipe(recipe: Recipe) -> dict[str, Any]:
    """A recipe's fields without paths of this machine."""
    values = recipe_values(recipe)
    return values | {"perceptual_weights": Path(recipe.perceptual_weights).name if recipe.perceptual_weights else ""}


def _config(
    generator: SavedGenerator, recipe: Mapping[str, object], checksums: Mapping[str, str], *, half: bool
) -> dict[str, object]:
    progress = generator.state.part("progress")
    return {
        "format": FORMAT,
        "library_name": LIBRARY,
        "orthoforge_version": version("orthoforge"),
        "dtype": "float16" if half else "float32",
        "made_from_sha256": generator.sha256,
        "recipe": recipe,
        "progress": {key: progress[key] for key in ("epoch", "step") if key in progress},
        "tiles": generator.state.part("tiles"),
        "checksums": checksums,
        **({} if generator.state.refinement is None else {"refinement": generator.state.refinement}),
    }


def _properties(generator: SavedGenerator, size: int, *, half: bool) -> dict[str, str]:
    """Rows of the card's table."""
    parameters = sum(parameter.numel() for parameter in generator.network.parameters())
    rows = {
        "recipe": f"`{generator.recipe.name}`",
        "network": f"`{generator.recipe.generator}`, {parameters / 1e6:.2f} M parameters, looks {generator.network.reach} px far",
        "weights": f"{size / 1e6:.1f} MB, {'float16, computed with as float32' if half else 'float32'}",
        "ground resolution": f"{generator.gsd_m:.3g} m a pixel" if generator.gsd_m else "several, or unknown",
        "mask": "buildings" if not generator.classes else f"classes: {', '.join(generator.classes.names)}",
        "image": f"{'red, green, blue' if generator.bands == 3 else f'{generator.bands} bands'}, 8 bits; any size",
        "seed": "changes the image" if is_noisy(generator.network) else "changes nothing: one image a mask",
        "styles": ", ".join(_styles(generator)),
        "kept of tiles" if generator.state.tiles.material else "kept of training tiles": _kept(generator),
        "refinement": _refinement(generator),
        "trained for": f"{generator.step} steps",
        "made from weights": f"SHA-256 `{generator.sha256}`",
        "software": f"Orthoforge {version('orthoforge')}",
    }
    return {title: text for title, text in rows.items() if text}


def _styles(generator: SavedGenerator) -> list[str]:
    """Places, with how many different looks are kept of each: where there were few tiles the bank repeats theirs."""
    bank = generator.network.styles
    words = []
    for number, place in enumerate(generator.styles):
        assert bank is not None
        looks = bank.looks(number)
        words.append(f"{place} ({looks} look{'s' * (looks > 1)})")
    return words


def _kept(generator: SavedGenerator) -> str:
    """What the weights hold of the tiles themselves, for those who ask whether they may pass them on."""
    if generator.library is not None:
        count, size = len(generator.library), generator.library.size_px
        return (
            f"{count} tiles of {size} × {size} px, images and masks, in `{MATERIAL}`: roofs and ground of the images that it makes "
            f"are theirs, so whoever passes it on passes on these pictures{_given(generator)}"
        )
    colours = generator.network.colours
    if colours is None or colours.building is None:
        return ""
    ground = f"a thumbnail of its ground, {GROUND_SIDE} × {GROUND_SIDE} cells of {GROUND_CELL} px, whose layout images follow"
    kinds = ["colours of its roofs"] * colours.roofs + [ground] * colours.ground
    return f"of each look, {' and '.join(kinds)}" if kinds else ""


def _refinement(generator: SavedGenerator) -> str:
    """What the card says of how much the network changes canvases; nothing where it makes all or changes all."""
    share = generator.refinement
    if generator.library is None or share == 1:
        return ""
    by_default = "the network changes nothing" if share == 0 else f"images get {share:.0%} of what the network would change"
    return f"by default {by_default} of the canvas of real roofs and ground; `--refinement 1`, `with_refinement(1)` asks for all"


def _given(generator: SavedGenerator) -> str:
    """What the card says of material that was given to trained weights."""
    given = generator.state.tiles.material
    if given is None:
        return ""
    whose = f"attribution: {given.attribution}" if given.attribution else "they name no source"
    return f". It was not trained on these tiles, which were given to it afterwards ({whose})"


def _command(recipe: Recipe) -> str:
    """The training that a recipe tells of; where its tiles and the run were is nobody's business."""
    words = ["orthoforge", "train", recipe.name]
    if recipe.name in recipe_names():
        usual = load_recipe(recipe.name)
        changed = [field for field in FIELD_NAMES if getattr(recipe, field) != getattr(usual, field)]
    else:
        words[-1] = f"{recipe.name}.yaml"  # a file of its author's; config.json has every field
        changed = []
    for field in changed:
        value = getattr(recipe, field)
        if field != "perceptual_weights":
            words += _option(field.replace("_", "-"), value)
    prepare = f"orthoforge prepare DATA TILES {recipe.tiles}".strip()
    return f"{prepare}\n{' '.join(words)} --data TILES --out RUN"


def _looked_through(recipe: Recipe) -> str:
    """A sentence on the network whose features judged the images in training; empty for none."""
    if not recipe.uses_features:
        return ""
    judges = ["discriminator"] * (recipe.gan_loss != "none" and recipe.discriminator == "projected")
    judges += ["perceptual loss"] * bool(recipe.lambda_perceptual)
    network = {"vgg19": "VGG19", "efficientnet-lite0": "EfficientNet-Lite0"}[recipe.perceptual]
    taught = f"with weights of SHA-256 `{recipe.perceptual_sha256}`" if recipe.perceptual_sha256 else "trained on ImageNet"
    return (
        f"In training the {' and the '.join(judges)} looked at images through {network} {taught}: what it has seen is part of "
        "where these weights come from. Generating needs nothing of it."
    )


def _option(name: str, value: Any) -> list[str]:
    """A field of a recipe as words of ``orthoforge train``."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, tuple):
        return [f"--{name}", *map(shlex.quote, value)]
    if str(value).startswith("-"):
        return [f"--{name}={shlex.quote(value)}"]  # or it would be taken for an option itself
    return [f"--{name}", shlex.quote(str(value))]


def _started_from(recipe: Recipe, args: RunArgs | None) -> str | None:
    """Name of the weights that the training began with: empty for none, ``None`` when not known."""
    begun = (args.init_from if args else None) or recipe.starts_from
    if begun:
        return Path(begun).name
    return args.init_from if args else None


def _json_bytes(values: Mapping[str, object]) -> bytes:
    return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()


def _require_all_styles(generator: SavedGenerator) -> None:
    bank = generator.network.styles
    if bank is not None and (bank.place is not None or bank.fixed is not None):
        raise ConfigError("this generator was made for one style, which a folder does not hold: save it .with_style(None).")


def _require_replaceable(folder: Path, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file. Choose another name for the folder.")
    others = sorted(path.name for path in folder.iterdir() if path.name not in KNOWN)
    if others:
        shown = ", ".join(others[:3]) + " …" * (len(others) > 3)
        raise OutputExistsError(f"{folder} holds other things ({shown}), which would be lost. Choose another folder.")
    if any(folder.iterdir()) and not overwrite:
        raise OutputExistsError(f"{folder} exists. Pass --overwrite to replace it, or choose another name.")
