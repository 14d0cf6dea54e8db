"""Recipes: complete files, strict keys, values refused by name."""

import contextlib
import dataclasses
import inspect
import re
import tempfile
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orthoforge.config import (
    FIELD_NAMES,
    RECIPES,
    SAFE_TO_CHANGE,
    Recipe,
    load_recipe,
    recipe_from,
    recipe_names,
    recipe_values,
)
from orthoforge.errors import ConfigError
from orthoforge.models.discriminators import Kind
from orthoforge.models.features.layers import PERCEPTUAL_LAYERS
from orthoforge.models.layers import Norm, Upsample
from orthoforge.models.losses import GAN_LOSSES
from orthoforge.networks import GENERATORS
from orthoforge.plain_yaml import dump_yaml
from orthoforge.run_files import numbered_run
from orthoforge.tiles.prepare import prepare

RECIPE_S = load_recipe("orthoforge-s")
YAML_WORDS = [
    b"*a", b"&a ", b"!!int ", b"true", b".nan", b"-.inf", b"9" * 5000, b"2021-99-99", b"0x_", b"[", b"{", b"- ", b": ", b"<<: ",
    b"=", b"\xff", b"\0", b"..", b"../", b"~", b"'", b'"', b"1:60", b"\t", b"1e400", b"-1", b"0",
]  # fmt: skip


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_is_complete_and_comes_back_from_its_own_dump(name, tmp_path):
    written = yaml.safe_load((RECIPES / f"{name}.yaml").read_text(encoding="utf-8"))
    assert tuple(written) == FIELD_NAMES, "every field, in the order of the dataclass, and nothing else"
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe_values(recipe) == written
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_yaml(recipe_values(recipe)), encoding="utf-8")
    assert load_recipe(copy) == recipe


def test_baseline_has_the_numbers_of_the_seed():
    recipe = load_recipe("baseline")
    seed = {
        "crop_px": 256, "flips": "horizontal", "batch_size": 16, "generator": "resnet9", "generator_width": 64, "norm": "batch",
        "upsample": "transposed", "discriminator_width": 64, "gan_loss": "lsgan", "lambda_l1": 100, "learning_rate": 2e-4,
        "beta1": 0.5, "beta2": 0.999, "epochs": 450, "decay_epochs": 450, "ema_decay": 0, "crops_per_tile": 1,
    }  # fmt: skip
    assert {name: getattr(recipe, name) for name in seed} == seed
    assert recipe.total_epochs == 900
    assert recipe.tiles == "--grid 1 --size 286 --split digits"


# Rows of the seed's table: what each changes, beside the words about it.
LOW, MID = "--grid 1 --size 286 --split digits", "--grid 2 --size 286 --split digits"
INSTANCE = {"norm": "instance"}
VGG = INSTANCE | {"perceptual": "vgg19", "perceptual_layers": ["relu5_4"], "perceptual_normalize": False, "lambda_perceptual": 100}
SUBSET = {"tiles_per_place": 28, "epochs": 100, "decay_epochs": 100}
TABLE = {
    "lr-collapse": {"learning_rate": 2e-3},
    "lr-1e-4": {"learning_rate": 1e-4},
    "lr-3e-4": {"learning_rate": 3e-4},
    "lr-1e-3": {"learning_rate": 1e-3},
    **{f"lambda-{value}": {"lambda_l1": value} for value in (1, 2, 10, 25, 50)},
    "generator-only": {"gan_loss": "none"},
    "instance-norm": INSTANCE,
    "mid-2x2": {"tiles": MID},
    "mid-2x2-from-baseline": {"tiles": MID, "starts_from": "baseline"} | SUBSET,
    "mid-2x2-instance": INSTANCE | {"tiles": MID, "batch_size": 2},
    "mid-2x2-from-instance": INSTANCE | {"tiles": MID, "batch_size": 2, "starts_from": "instance-norm"} | SUBSET,
    "mid-full-512": INSTANCE | {"tiles": "--grid 1 --size 542 --split digits", "crop_px": 512, "batch_size": 4},
    "high-5x5": INSTANCE
    | {"tiles": "--grid 5 --size 286 --split digits", "lambda_l1": 10, "epochs": 210, "decay_epochs": 210, "batch_size": 2},
    "mid-2x2-filtered": INSTANCE | {"tiles": f"{MID} --min-building 0.25", "batch_size": 8},
    "vgg-only": VGG | {"lambda_l1": 0},
    "vgg-l1": VGG,
    "plateau": {"schedule": "plateau-2021", "epochs": 900, "decay_epochs": 0},
}


@pytest.mark.parametrize("name", TABLE)
def test_a_row_of_the_seeds_table_changes_what_the_table_says_and_nothing_else(name):
    baseline, other = (recipe_values(load_recipe(row)) for row in ("baseline", name))
    changed = {field for field in baseline if baseline[field] != other[field]}
    assert {field: other[field] for field in changed - {"name", "description", "outcome"}} == TABLE[name]
    assert other["outcome"], "the seed says what came of it"


def test_a_recipe_says_in_the_options_of_prepare_which_tiles_it_needs():
    assert load_recipe("mid-2x2-filtered").tile_options == {"grid": 2, "size": 286, "split": "digits", "min_building": 0.25}
    for name in recipe_names():
        assert set(load_recipe(name).tile_options) <= set(inspect.signature(prepare).parameters)
    for text in ("--grid two", "--grid", "--sizes 3", "grid 2 extra"):
        with pytest.raises(ConfigError, match="options of orthoforge prepare"):
            Recipe(name="mine", tiles=text)


def test_choices_are_the_keys_of_the_registries():
    hints = get_type_hints(Recipe)
    assert get_args(hints["generator"]) == tuple(GENERATORS)
    assert get_args(hints["norm"]) == get_args(Norm)
    assert get_args(hints["upsample"]) == get_args(Upsample)
    assert get_args(hints["discriminator"]) == get_args(Kind)
    assert set(get_args(hints["gan_loss"])) == {*GAN_LOSSES, "oasis", "none"}
    assert set(get_args(hints["perceptual"])) == set(PERCEPTUAL_LAYERS)


def test_the_page_on_recipes_names_every_recipe_and_what_can_be_chosen():
    page, of_2021 = ((RECIPES.parents[2] / "docs" / name).read_text(encoding="utf-8") for name in ("recipes.md", "recipes-2021.md"))
    hints = get_type_hints(Recipe)
    chosen = page[page.index("## What can be chosen") : page.index("## Chained trainings")]
    for field in ("generator", "discriminator", "gan_loss", "balance", "perceptual", "schedule"):
        assert {f"`{field}`", *(f"`{choice}`" for choice in get_args(hints[field]))} <= set(re.findall(r"`[^`]+`", chosen)), field
    short = {name for name in recipe_names() if f"`{name}`" not in page + of_2021}
    assert all(f"`-{name.rpartition('-')[2]}`" in of_2021 for name in short), short


@pytest.mark.parametrize("name", GENERATORS)
def test_crops_must_be_multiples_of_what_the_generator_takes(name):
    recipe = Recipe(name="mine", generator=name, crop_px=512)
    with torch.device("meta"):
        stride = GENERATORS[name](3, width=1, norm="batch", upsample="transposed").stride
    assert recipe.crop_multiple_px == stride
    with pytest.raises(ConfigError, match=f"multiple of {stride}"):
        Recipe(name="mine", generator=name, crop_px=510)


@pytest.mark.parametrize(
    ("fields", "uses"),
    [
        ({}, False),
        ({"lambda_perceptual": 0.1}, True),
        ({"discriminator": "projected"}, True),
        ({"discriminator": "projected", "gan_loss": "none"}, False),
        ({"discriminator": "projected", "gan_loss": "none", "lambda_perceptual": 0.1}, True),
    ],
)
def test_features_are_needed_for_the_perceptual_loss_and_for_a_discriminator_that_sees_them(fields, uses):
    assert Recipe(name="mine", **fields).uses_features == uses


def test_colour_alone_is_something_to_train_by():
    assert Recipe(name="mine", gan_loss="none", lambda_l1=0, lambda_colour=1).lambda_colour == 1


def test_the_two_sizes_differ_in_width_and_in_what_follows_from_it():
    small, middle = (recipe_values(load_recipe(f"orthoforge-{size}")) for size in "sm")
    assert {field: (small[field], middle[field]) for field in small if small[field] != middle[field]}.keys() == {
        "name", "description", "batch_size", "generator_width", "discriminator_width", "learning_rate", "ema_decay",
    }  # fmt: skip
    assert (small["generator"], small["discriminator"], small["balance"]) == ("modulated", "projected", "places")


def test_a_recipe_from_before_there_were_styles_means_what_it_meant():
    old = {
        name: value
        for name, value in recipe_values(load_recipe("baseline")).items()
        if name not in ("balance", "lambda_colour", "roof_colours", "ground_colours")
    }
    recipe = recipe_from(old, source="a run of last year")
    assert recipe == load_recipe("baseline")
    assert (recipe.balance, recipe.lambda_colour, recipe.uses_features) == ("none", 0, False)


def test_perceptual_layers_of_recipes_exist():
    for name in recipe_names():
        recipe = load_recipe(name)
        assert set(recipe.perceptual_layers) <= set(PERCEPTUAL_LAYERS[recipe.perceptual])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"gan_loss": "wgan-gp"}, "--discriminator-norm instance, group or none"),
        ({"gan_loss": "wgan-gp", "discriminator": "projected", "discriminator_norm": "none"}, "sees features. Use hinge"),
        ({"gan_loss": "oasis"}, "patch does not tell. Use projected"),
        ({"gan_loss": "none", "lambda_l1": 0}, "nothing would be trained"),
        ({"discriminator": "projected", "perceptual_layers": ()}, "layer"),
        ({"discriminator": "projected", "perceptual_layers": ("stage1", "logits")}, "leave logits out"),
        ({"discriminator": "projected", "perceptual": "vgg19"}, "stem"),
        ({"lambda_perceptual": 1, "perceptual_layers": ()}, "layer"),
        ({"lambda_perceptual": 1, "perceptual_layers": ("stage9",)}, "did you mean `stage"),
        ({"lambda_perceptual": 1, "perceptual": "vgg19"}, "stem"),
        ({"discriminator_layers": 5, "crop_px": 64}, "needs crops of 96 px at least"),
        ({"discriminator_layers": 6}, "at most 5"),
    ],
)
def test_settings_that_cannot_work_together_are_refused(fields, words):
    with pytest.raises(ConfigError, match=words):
        Recipe(name="mine", **fields)


def test_fields_that_are_safe_to_change_are_fields():
    assert not SAFE_TO_CHANGE - set(FIELD_NAMES)
    assert not SAFE_TO_CHANGE & {"learning_rate", "seed", "batch_size", "generator", "lambda_l1", "crop_px", "flips"}


def test_overrides_replace_fields_and_are_checked_like_the_file():
    recipe = load_recipe("baseline", epochs=1, learning_rate="1e-3")
    assert (recipe.epochs, recipe.learning_rate) == (1, 1e-3)
    assert dataclasses.replace(recipe, epochs=450, learning_rate=2e-4) == load_recipe("baseline")
    with pytest.raises(ConfigError, match=r"unknown `epoch`; did you mean `epochs`\?"):
        load_recipe("tiny", epoch=1)


def test_a_recipe_file_may_leave_fields_to_their_defaults(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text("name: mine\nepochs: 3\n")
    assert load_recipe(path) == Recipe(name="mine", epochs=3)
    assert load_recipe(str(path)).epochs == 3


def test_args_yaml_of_a_run_is_a_recipe(tmp_path):
    recipe = load_recipe("tiny", epochs=2)
    path = tmp_path / "args.yaml"
    path.write_text(dump_yaml(recipe_values(recipe) | {"run": {"data": "tiles", "versions": {"torch": "2"}}}), encoding="utf-8")
    assert load_recipe(path) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nepoch: 3\n", "mine.yaml: unknown `epoch`; did you mean `epochs`?"),
        ("name: x\nqqqqqq: 3\n", "mine.yaml: unknown `qqqqqq`."),
        ("name: x\n1: 3\n", "mine.yaml: unknown `1`."),
        ("epochs: 3\n", "mine.yaml: name is missing."),
        ("- a\n- b\n", "mine.yaml: a recipe is a list of `key: value` lines."),
        ("", "mine.yaml: a recipe is a list of `key: value` lines."),
        ("name: [x\n", "mine.yaml: not valid YAML"),
        ("name: \x80\n", "mine.yaml: not valid YAML"),
        ("name: x\nepochs: true\n", "mine.yaml: epochs is True, which is no number."),
        ("name: x\nlambda_l1: no\n", "mine.yaml: lambda_l1 is False, which is no number."),
        ("name: x\nlambda_l1: .nan\n", "mine.yaml: lambda_l1 is nan; it must be at least 0 and at most 1000000000."),
        ("name: x\nseed: 0x" + "f" * 30 + "\n", "mine.yaml: seed is 1329227995784915872903807060280344575; it must be at least 0"),
        ("name: x\nepochs: '" + "9" * 100_000 + "'\n", f"(is '{'9' * 77} …)."),
        ("name: x\ntiles: '--grid \"2'\n", 'mine.yaml: tiles is `--grid "2`; it may hold these options'),
        ("name: x\ngenerator_width: 1000000000\n", "generator_width is 1000000000; it must be at least 1 and at most 8192."),
    ],
)
def test_a_recipe_file_that_cannot_be_used_says_why(text, message, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "a/b", "a\\b", "..", ".", "", "x" * 201, "ü" * 101, "a\x1b[31mb", "a\nb", "a\0b"]
)
def test_a_name_that_a_folder_cannot_have_is_refused(name, tmp_path):
    for fields in ({"name": name}, {"name": "x", "starts_from": name}):
        if fields.get("starts_from") == "":
            continue
        with pytest.raises(ConfigError, match="a run's folder is called by it, so it must be 1 to 200 printable characters"):
            recipe_from(fields, source="the source")
    assert numbered_run(recipe_from({"name": "mine 2 (é)"}, source="s").name, tmp_path) == tmp_path / "mine 2 (é)"


def test_a_recipe_by_name_is_one_of_the_packages(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    with pytest.raises(ConfigError, match="unknown recipe"):
        load_recipe(str(tmp_path / "mine"))


@given(st.data())
def test_a_damaged_recipe_is_a_recipe_or_a_config_error(data):
    fields = ("name", "tiles", "crop_px", "flips", "roof_colours", "lambda_l1", "perceptual_layers", "epochs", "seed")
    text = bytearray(dump_yaml({name: recipe_values(RECIPE_S)[name] for name in fields}).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 6))] = data.draw(st.one_of(st.binary(max_size=4), st.sampled_from(YAML_WORDS)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mine.yaml")
        path.write_bytes(text)
        with contextlib.suppress(ConfigError):
            assert isinstance(load_recipe(path), Recipe)


def test_an_unknown_recipe_offers_the_nearest_and_lists_all():
    with pytest.raises(ConfigError) as caught:
        load_recipe("basline")
    assert str(caught.value) == f"unknown recipe `basline`; did you mean `baseline`? Recipes: {', '.join(recipe_names())}."
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such recipe file"):
        load_recipe("nowhere.yaml")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("crop_px", 28), ("crops_per_tile", 0), ("batch_size", 0), ("generator_width", 0), ("discriminator_width", 0),
        ("lambda_l1", -1.0), ("lambda_l1", float("nan")), ("lambda_l1", float("inf")), ("lambda_colour", -1.0),
        ("balance", "scenes"), ("discriminator", "scales"), ("epochs", -1), ("decay_epochs", -2),
        ("ema_decay", -0.1), ("ema_decay", 1.0), ("beta1", 1.0), ("beta2", -0.5), ("beta1", float("nan")),
        ("learning_rate", 0.0), ("learning_rate", 1.0), ("learning_rate", float("nan")), ("seed", -1), ("seed", 2**63),
        ("checkpoint_every", 0), ("panels_every", 0), ("norm", "layer"), ("generator", "resnet7"), ("flips", "vertical"),
            ("schedule", "exponential"), ("warmup_steps", -1), ("step_epochs", 0), ("tiles_per_place", -1),
        ("upsample", "bilinear"), ("gan_loss", "relativistic"), ("precision", "fp16"), ("epochs", "many"), ("batch_size", 2.5),
        ("lambda_l1", None),
    ],
)  # fmt: skip
def test_an_impossible_value_is_refused_with_its_name_and_value(field, value):
    with pytest.raises(ConfigError) as caught:
        recipe_from({"name": "x", field: value}, source="the source")
    assert field in str(caught.value)
    assert str(value) in str(caught.value)


def test_nothing_to_train_is_refused():
    with pytest.raises(ConfigError, match="epochs and decay_epochs are both 0"):
        Recipe(name="x", epochs=0, decay_epochs=0)


@pytest.mark.parametrize(("crop_px", "valid"), [(130, "128 or 132"), (255, "252 or 256"), (33, "32 or 36")])
def test_a_crop_that_the_networks_cannot_halve_twice_offers_the_nearest_that_they_can(crop_px, valid):
    with pytest.raises(ConfigError, match=rf"crop_px is {crop_px}.*multiple of 4: {valid}"):
        Recipe(name="x", crop_px=crop_px)
