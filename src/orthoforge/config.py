"""Recipes: everything that decides what a training computes, as one frozen dataclass and complete YAML files."""

import dataclasses
import difflib
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, cast

from pydantic import TypeAdapter, ValidationError

from orthoforge.errors import ConfigError
from orthoforge.files import is_file_name
from orthoforge.models.features.layers import require_layers, require_no_judge
from orthoforge.plain_yaml import read_yaml

RECIPES = Path(__file__).parent / "recipes"

# Changing one of these between a run and its resumption changes no step that was already taken.
SAFE_TO_CHANGE = frozenset(
    {
        "name", "description", "outcome", "tiles", "starts_from", "epochs", "decay_epochs", "perceptual_weights",
        "checkpoint_every", "panels_every", "accumulate", "compile",
    }
)  # fmt: skip
# Runs are called by these names, and a run's name gets a number, a lock and temporary names beside it.
_LONGEST_NAME = 200
# More than any hardware takes, and less than where numbers stop to fit into those that torch and NumPy count with.
_MOST = {"crop_px": 2**14, "generator_width": 2**13, "discriminator_width": 2**13, "batch_size": 2**20, "seed": 2**63 - 1}
_MOST_OTHERWISE = 10**9
_HALVINGS = {"unet256": 8, "unet512": 9, "modulated": 4}  # of the feature maps; the other generators halve twice

Setting = str | int | float | Sequence[str]
"""A field's value, plain; Booleans are whole numbers to the type."""


class TileOptions(TypedDict, total=False):
    """Arguments of ``orthoforge.prepare`` that a recipe may ask for."""

    grid: int
    gsd: float
    size: int
    split: Literal["digits", "inria", "blocks", "random"]
    min_building: float


@dataclass(frozen=True)
class Recipe:
    """All settings of one training. Each field is also an option of ``orthoforge train``.

    Impossible values and combinations raise ``ConfigError`` when the recipe is made. Lengths are in pixels where a name ends in
    ``_px``.

    Examples:
        >>> from orthoforge import Recipe
        >>> recipe = Recipe(name="mine", crop_px=96, epochs=30, decay_epochs=10)
        >>> recipe.total_epochs
        40
    """

    name: str
    """Name of the recipe. A run without ``--out`` is called so."""
    description: str = ""
    """What it is, or what it changes, in one line."""
    outcome: str = ""
    """What came out of it in 2021, in one line."""
    tiles: str = ""
    """Options of ``orthoforge prepare`` that make its tiles."""
    starts_from: str = ""
    """Recipe whose run ``--init-from`` must name. Empty for a training from scratch."""

    crop_px: int = 256
    """Side of the random crops in pixels. A multiple of 4; of 16 for ``modulated``; 256 or 512 for the U-Nets."""
    flips: Literal["none", "horizontal", "dihedral"] = "horizontal"
    """Random orientation, the same for mask and image: none, left-right, or all eight flips and quarter turns."""
    balance: Literal["none", "places", "building"] = "none"
    """How often a tile is drawn. none: once an epoch. places: so that places come equally often. building: also so that four bands
    of building share (up to 5, 20, 40 and 100 %) come equally often within a place."""
    crops_per_tile: int = 1
    """Number of crops of each tile in an epoch."""
    tiles_per_place: int = 0
    """Train on so many tiles of each place. They are spread evenly over its scenes and drawn by ``seed``. 0 takes all."""
    batch_size: int = 16
    """Crops in a step, counted over all processes together."""
    accumulate: int = 1
    """Gradient accumulation: compute a step's batch in so many parts, one after the other, where it does not fit into memory. The
    step is the same, to rounding; only batch norm sees each part alone."""

    generator: Literal["resnet6", "resnet9", "resunet6", "resunet9", "unet256", "unet512", "modulated"] = "resnet9"
    """The network. ``resnet``: residual, with that number of blocks. ``resunet``: the same with skip connections. ``unet``: that of
    pix2pix, with dropout. ``modulated``: steered by mask, style and noise in every layer, with its own norm and upsampling."""
    generator_width: int = 64
    """Channels of the first layer of the generator."""
    roof_colours: bool = True
    """Tell ``modulated`` a colour for each building, so that like outlines need not get like roofs."""
    ground_colours: bool = True
    """Tell ``modulated`` what lies between buildings, by the mean colour of cells of 16 px."""
    material: bool = False
    """Let ``modulated`` refine a canvas of real roofs and ground of the other training tiles, instead of telling it colours."""
    canvases_per_tile: int = 8
    """Number of canvases that are composed for the mask of each training tile before training begins."""
    sees_mask: bool = True
    """Show a generator that refines ``material`` the mask beside its canvas. One that does not see it cannot mark buildings by a
    texture of their own, which a segmenter would learn instead of real ones."""
    norm: Literal["batch", "instance", "group"] = "batch"
    """Normalisation of the generator."""
    upsample: Literal["transposed", "resize"] = "transposed"
    """transposed: transposed convolution, as in 2021; it leaves a checkerboard. resize: resizing and a convolution."""

    discriminator: Literal["patch", "pixel", "projected"] = "patch"
    """patch: a PatchGAN. pixel: it judges single pixels. projected: heads on the ``perceptual_layers`` of the perceptual loss's
    network."""
    discriminator_layers: int = 3
    """Number of halvings of the PatchGAN. They decide how much each logit sees: 1 to 5 give 16, 34, 70, 142 and 286 px."""
    discriminator_width: int = 64
    """Channels of the first layer of the discriminator."""
    discriminator_norm: Literal["batch", "instance", "group", "none"] = "batch"
    """Normalisation of the discriminator."""

    gan_loss: Literal["lsgan", "vanilla", "hinge", "oasis", "wgan-gp", "none"] = "lsgan"
    """Adversarial loss. ``oasis``: the ``projected`` discriminator tells classes and fakes, and is not told the mask. ``none``
    trains the generator alone."""
    lambda_l1: float = 100.0
    """Weight of the L1 distance to the real image."""
    lambda_colour: float = 0.0
    """Weight of the L1 distance between the mean colours of cells of 16 px. It leaves texture free. 0 leaves the term out."""
    lambda_canvas: float = 0.0
    """Weight of the L1 distance to the mean colours of cells of 16 px of the canvas. For ``material``."""
    lambda_canvas_features: float = 0.0
    """Weight of the L1 distance between features of the image and of its canvas. For ``material``."""
    lambda_identity: float = 0.0
    """Weight of the L1 distance between a real image and what is made of it: a quarter of each batch has its real image for a
    canvas, which is to stay as it is. For ``material``. 0 leaves the term out."""
    lambda_perceptual: float = 0.0
    """Weight of the L1 distance between features of both images. 0 leaves the term out. EfficientNet's lower layers are much
    farther apart than pixels: 1 is a lot."""
    perceptual: Literal["vgg19", "efficientnet-lite0"] = "efficientnet-lite0"
    """Network of the perceptual loss. EfficientNet's weights are installed. VGG19's weights are a file that you bring along."""
    perceptual_layers: tuple[str, ...] = ("stem", "stage1", "stage2", "stage3", "stage4")
    """Layers of that network that are compared: relu1_1 … relu5_4, conv1_1 … conv5_4 or logits; stem, stage1 … stage7, head or
    logits."""
    perceptual_normalize: bool = True
    """Normalise images as that network was trained on. The project of 2021 left them in [-1, 1]."""
    perceptual_weights: str = ""
    """File with VGG19's weights. When left out, it is looked for in torch hub's folder."""
    perceptual_sha256: str = ""
    """SHA-256 of weights of your own, or its first digits. That of the published file when left out."""

    learning_rate: float = 2e-4
    """Learning rate of Adam for both networks."""
    beta1: float = 0.5
    """First decay rate of Adam."""
    beta2: float = 0.999
    """Second decay rate of Adam."""
    schedule: Literal["linear", "cosine", "step", "plateau", "plateau-2021"] = "linear"
    """How the learning rate falls. ``linear`` and ``cosine``: towards 0 over ``decay_epochs``. ``step``: to a tenth every
    ``step_epochs``. ``plateau``: by half when the smoothed score of ``best_by`` stands still, down to a hundredth.
    ``plateau-2021``: to 0, by the training losses."""
    epochs: int = 450
    """Epochs at the constant rate."""
    decay_epochs: int = 450
    """Epochs after them, over which ``linear`` and ``cosine`` lower the rate."""
    step_epochs: int = 50
    """Epochs between two steps of the schedule ``step``."""
    warmup_steps: int = 0
    """Steps over which the rate first rises from 0."""
    ema_decay: float = 0.0
    """Decay in a step of the averaged generator, which is saved and validated. The average is faster at first. 0 turns averaging
    off."""
    precision: Literal["auto", "bf16", "tf32", "float32"] = "auto"
    """bf16 autocast, float32, or ``auto``: bf16 where the hardware computes in it. tf32: float32 that an NVIDIA GPU multiplies with
    10 bits of 23."""
    compile: bool = False
    """Compile the networks by torch.compile: the first steps take minutes. On a processor it needs a C++ compiler."""
    seed: int = 0
    """Seed of initial weights, order, crops and flips."""

    checkpoint_every: int = 1
    """Epochs between checkpoints. Long epochs are also saved every ten minutes."""
    panels_every: int = 10
    """Epochs between pictures of validation tiles."""
    best_by: Literal["ssim", "perceptual", "kernel"] = "ssim"
    """Score of validation tiles that decides which weights are kept as ``best`` and when ``plateau`` lowers the rate. SSIM prefers
    blur. ``perceptual`` (distance of features place by place) and ``kernel`` (distance of sets of images) do so less."""

    def __post_init__(self) -> None:
        least = {
            "crop_px": 32, "crops_per_tile": 1, "tiles_per_place": 0, "batch_size": 1, "accumulate": 1, "generator_width": 1,
            "discriminator_width": 1, "discriminator_layers": 1, "lambda_l1": 0, "lambda_colour": 0, "lambda_perceptual": 0,
            "lambda_canvas": 0, "lambda_canvas_features": 0, "lambda_identity": 0, "canvases_per_tile": 1,
            "epochs": 0, "decay_epochs": 0, "step_epochs": 1, "warmup_steps": 0, "ema_decay": 0, "seed": 0, "checkpoint_every": 1,
            "panels_every": 1,
        }  # fmt: skip
        for name, minimum in least.items():
            most = _MOST.get(name, _MOST_OTHERWISE)
            if not minimum <= getattr(self, name) <= most:
                raise ConfigError(f"{name} is {shown(getattr(self, name))}; it must be at least {minimum} and at most {most}.")
        self._require_plain_names()
        if self.total_epochs < 1:
            raise ConfigError("epochs and decay_epochs are both 0; nothing would be trained.")
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"learning_rate is {self.learning_rate}; it must lie between 0 and 1.")
        if self.accumulate > self.batch_size:
            raise ConfigError(f"accumulate is {self.accumulate}; a batch of {self.batch_size} has {self.batch_size} parts at most.")
        for name in ("beta1", "beta2", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1.")
        self.tile_options  # noqa: B018  # raises for options that prepare does not have
        self._require_fitting_networks()

    def _require_plain_names(self) -> None:
        for name in ("name", "starts_from"):
            text = getattr(self, name)
            is_left_out = name == "starts_from" and not text
            if not is_left_out and not (is_file_name(text) and text.isprintable() and len(os.fsencode(text)) <= _LONGEST_NAME):
                raise ConfigError(
                    f"{name} is {shown(text)}; a run's folder is called by it, so it must be 1 to {_LONGEST_NAME} printable "
                    "characters, without slashes, and not `.` or `..`."
                )

    def _require_fitting_networks(self) -> None:
        require_no_judge(self.perceptual)  # also where no loss looks through it yet
        stride = self.crop_multiple_px
        if self.crop_px % stride:
            below = self.crop_px - self.crop_px % stride
            sizes = f"{below} or {below + stride}" if below else str(stride)
            raise ConfigError(
                f"crop_px is {self.crop_px}; {self.generator} halves {stride.bit_length() - 1} times, so it must be a multiple of "
                f"{stride}: {sizes}."
            )
        if self.discriminator_layers > 5:
            raise ConfigError(f"discriminator_layers is {self.discriminator_layers}; it must be at most 5 (286 px).")
        least_px = 3 * 2**self.discriminator_layers
        if self.gan_loss != "none" and self.discriminator == "patch" and self.crop_px < least_px:
            raise ConfigError(
                f"discriminator_layers is {self.discriminator_layers}, which needs crops of {least_px} px at least; crop_px is "
                f"{self.crop_px}."
            )
        if self.gan_loss == "wgan-gp" and self.discriminator_norm == "batch":
            raise ConfigError(
                "wgan-gp penalises the gradient of each image alone, which batch norm in the discriminator mixes with the others'. "
                "Pass --discriminator-norm instance, group or none."
            )
        if self.gan_loss == "wgan-gp" and self.discriminator == "projected":
            raise ConfigError("wgan-gp takes the gradient by the image, but a projected discriminator sees features. Use hinge.")
        if self.gan_loss == "oasis" and self.discriminator != "projected":
            raise ConfigError(f"oasis asks for the class of each cell, which {self.discriminator} does not tell. Use projected.")
        if self.gan_loss != "none" and self.discriminator == "projected" and "logits" in self.perceptual_layers:
            raise ConfigError("a projected discriminator looks at maps of features; leave logits out of perceptual_layers.")
        coarse = {"stage6", "stage7", "head"} & set(self.perceptual_layers)
        if self.discriminator == "projected" and coarse and self.crop_px < 64:
            raise ConfigError(
                f"crop_px is {self.crop_px}; a projected discriminator on {', '.join(sorted(coarse))} needs crops of 64 px."
            )
        if self.gan_loss == "none" and not self.lambda_l1 and not self.lambda_colour and not self.lambda_perceptual:
            raise ConfigError("gan_loss is none, lambda_l1, lambda_colour and lambda_perceptual are 0; nothing would be trained.")
        if self.material and self.generator != "modulated":
            raise ConfigError(f"material is refined by the generator modulated; {self.generator} takes no canvas.")
        if (self.lambda_canvas or self.lambda_canvas_features or self.lambda_identity) and not self.material:
            raise ConfigError(
                "lambda_canvas, lambda_canvas_features and lambda_identity need a canvas; pass --material True, or leave them 0."
            )
        if not self.sees_mask and not self.material:
            raise ConfigError("without a mask and without a canvas there is nothing to make an image of; pass --material True.")
        if self.uses_features:
            require_layers(self.perceptual, self.perceptual_layers)

    @property
    def total_epochs(self) -> int:
        """``epochs`` and ``decay_epochs``."""
        return self.epochs + self.decay_epochs

    @property
    def uses_features(self) -> bool:
        """Whether the perceptual loss's network is needed, for that loss or for the discriminator."""
        return bool(self.lambda_perceptual or self.lambda_canvas_features) or (
            self.gan_loss != "none" and self.discriminator == "projected"
        )

    @property
    def crop_multiple_px(self) -> int:
        """What ``crop_px`` must be a multiple of."""
        return 2 ** _HALVINGS.get(self.generator, 2)

    @property
    def tile_options(self) -> TileOptions:
        """``tiles`` as arguments of ``orthoforge.prepare``."""
        kinds = {"grid": int, "gsd": float, "size": int, "split": str, "min_building": float}
        try:
            words = shlex.split(self.tiles)
            named = {name.removeprefix("--").replace("-", "_"): value for name, value in zip(words[::2], words[1::2], strict=True)}
            return cast(TileOptions, {name: kinds[name](value) for name, value in named.items()})  # prepare refuses other splits
        except (ValueError, KeyError) as error:
            known = " ".join(f"--{name.replace('_', '-')} …" for name in kinds)
            raise ConfigError(f"tiles is `{self.tiles}`; it may hold these options of orthoforge prepare: {known}.") from error


_RECIPE = TypeAdapter(Recipe)
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Recipe)}
_SHOWN_PROBLEMS, _SHOWN = 3, 80
FIELD_NAMES = tuple(field.name for field in dataclasses.fields(Recipe))


def recipe_names() -> list[str]:
    """The names of the recipes that come with the package, sorted.

    Examples:
        >>> from orthoforge import recipe_names
        >>> "orthoforge-s" in recipe_names()
        True
    """
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str | Path, /, **overrides: Setting) -> Recipe:
    """The recipe of that name, or of the YAML file at that path, with fields replaced by ``overrides``.

    Text in ``overrides`` is read as in YAML. Several layers in one text are joined by '+'.

    Raises:
        ConfigError: an unknown recipe (the message lists them), an unknown field (it offers the nearest) or an impossible value.

    Examples:
        >>> from orthoforge import load_recipe
        >>> recipe = load_recipe("orthoforge-s", epochs=30, decay_epochs=10)
        >>> recipe.crop_px, recipe.total_epochs
        (96, 40)
    """
    if str(name).endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"{path}: no such recipe file.")
    elif name in recipe_names():
        path = RECIPES / f"{name}.yaml"
    else:
        hint = _nearest(str(name), recipe_names())
        raise ConfigError(f"unknown recipe `{name}`{hint} Recipes: {', '.join(recipe_names())}.")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a recipe is a list of `key: value` lines.")
    values.pop("run", None)  # a run's args.yaml is its recipe, with the run's circumstances added
    layers = overrides.get("perceptual_layers")
    if isinstance(layers, str):
        overrides["perceptual_layers"] = layers.split("+")
    return recipe_from(values | overrides, source=str(path))


def recipe_from(values: Mapping[str, object], *, source: str) -> Recipe:
    """A recipe from plain values. ``source`` is named in the ``ConfigError`` for a key or a value that does not fit."""
    for key in values:
        if key not in FIELD_NAMES:
            raise ConfigError(f"{source}: unknown `{key!s:.60}`{_nearest(str(key), FIELD_NAMES)}")
        if isinstance(values[key], bool) and isinstance(_DEFAULTS[key], int | float) and not isinstance(_DEFAULTS[key], bool):
            raise ConfigError(f"{source}: {key} is {values[key]}, which is no number.")
    try:
        return _RECIPE.validate_python(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{source}: {problems(error)}.") from error
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def problems(error: ValidationError) -> str:
    """What does not fit its form, in words: 'tiles.gsd_m is missing; step: Input should be … (is 'many')'; the first few."""
    found = error.errors(include_url=False)
    words = []
    for each in found[:_SHOWN_PROBLEMS]:
        where = ".".join(map(str, each["loc"])) or "the file"
        words.append(f"{where} is missing" if each["type"] == "missing" else f"{where}: {each['msg']} (is {shown(each['input'])})")
    return "; ".join([*words, f"and {len(found) - len(words)} more"] if len(found) > len(words) else words)


def shown(value: object) -> str:
    """A value from a file for a message: not longer than a line, whatever it is."""
    is_long = isinstance(value, int) and abs(value) >= 10**_SHOWN  # Python does not print the longest
    text = "a number of too many digits" if is_long else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 2]} …"


def recipe_values(recipe: Recipe) -> dict[str, Setting]:
    """Every field as a plain value, in order."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(recipe).items()}


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else "."
