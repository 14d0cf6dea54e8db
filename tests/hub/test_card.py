"""What a pretrained folder says of itself: the model card, and the STAC item by the rules of its extension."""

import dataclasses
import hashlib
import json
import re
import shlex
from pathlib import Path

import pystac
import pytest
import yaml
from pystac.extensions.file import FileExtension
from pystac.extensions.mlm import AcceleratorType, MLMExtension, ResizeType, TaskType
from pystac.extensions.raster import DataType
from pystac.validation.local_validator import LocalValidator

from orthoforge.checkpoints import CONFIG, MODEL
from orthoforge.cli import main
from orthoforge.config import load_recipe, recipe_from
from orthoforge.errors import ConfigError
from orthoforge.hub import CardFacts, Source, read_facts, save_pretrained
from orthoforge.trained_generator import load_generator
from test_checkpoints import RECIPE, save_run

FACTS = """
license: CC-BY-4.0
summary: A generator of towns.
sources:
  - {name: banepa_core, license: "images CC-BY-4.0, labels ODbL", attribution: "© Somebody | and others", url: "https://example.org/data"}
  - {name: dubai, license: CC0-1.0, attribution: none asked for, use: 60 tiles}
scores:
  - {place: banepa, kernel distance ×1000: 31.5, IoU: 0.61}
  - {place: dubai, kernel distance ×1000: 40, note: one seed}
scored_on: 20 held-out tiles of 128 px, by `orthoforge evaluate`
limits: [No snow.]
intended_use: [Flat towns.]
training: One hour on two cores.
tags: [nepal]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    save_run(folder, step=7)
    return folder


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """Published with all facts."""
    place = tmp_path_factory.mktemp("published")
    (place / "facts.yaml").write_text(FACTS, encoding="utf-8")
    return save_pretrained(run, place / "town-s", card=place / "facts.yaml")


def parts(folder):
    """Front matter and text of the card."""
    _, front, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


def item_of(folder):
    return json.loads((folder / "stac-item.json").read_text(encoding="utf-8"))


# The card


def test_the_front_matter_is_what_the_hub_reads(folder):
    front, _ = parts(folder)
    assert {"license": "cc-by-4.0", "library_name": "orthoforge", "pipeline_tag": "image-to-image"}.items() <= front.items()
    assert {"remote-sensing", "synthetic-data", "nepal"} <= set(front["tags"])
    assert all(re.fullmatch(r"[a-z0-9-]+", tag) for tag in front["tags"])


def test_everything_that_was_given_is_on_the_card(folder):
    _, text = parts(folder)
    for words in (
        "# town-s", "A generator of towns.", "[banepa_core](https://example.org/data)", "images CC-BY-4.0, labels ODbL",
        r"© Somebody \| and others", "none asked for", "60 tiles", "| banepa | 31.5 | 0.61 | – |", "| dubai | 40 | – | one seed |",
        "Measured on: 20 held-out tiles", "- No snow.", "- Flat towns.", "One hour on two cores.",
        'from_pretrained("town-s")',
    ):  # fmt: skip
        assert words in text, words


def test_every_card_says_that_the_images_are_synthetic_and_how_one_can_tell(run, tmp_path):
    front, text = parts(save_pretrained(run, tmp_path / "bare"))
    assert front["license"] == "unknown"
    assert "synthetic and shows" in text and "SYNTHETIC=YES" in text and "trainedAlgorithmicMedia" in text
    assert "© Survey" in text and "No licence of the weights was given" in text and "None were given" in text
    assert load_generator(run).sha256 in text and "0.3 m a pixel" in text and "7 steps" in text
    assert "{" not in text.replace("{where}", "") and "None" not in text.replace("None were given", "")
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("baseline", {"learning_rate": 1e-3, "norm": "instance", "perceptual_layers": "stage1+stage2"}),
        ("vgg-l1", {"perceptual_normalize": True}),
        ("orthoforge-s", {"roof_colours": False, "perceptual_layers": "stage1"}),
        ("orthoforge-s", {"tiles": "--gsd 0.3", "description": "a town's, and 'more'"}),
    ],
)
def test_the_training_command_runs_and_gives_the_recipe_back(name, changes, tmp_path, capsys):
    recipe = load_recipe(name, generator_width=4, **changes)
    save_run(tmp_path / "run", recipe)
    _, text = parts(save_pretrained(tmp_path / "run", tmp_path / "town"))
    (command,) = re.findall(r"^orthoforge (train .* --data TILES --out RUN)$", text, flags=re.M)
    assert main([*shlex.split(command), "--print-config"]) == 0
    assert recipe_from(yaml.safe_load(capsys.readouterr().out), source="the command") == recipe


def test_a_recipe_of_its_author_is_a_file(run, tmp_path):
    _, other = parts(save_pretrained(run, tmp_path / "other"))
    assert f"orthoforge train {RECIPE.name}.yaml --data" in other  # not one of the package's


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "the discriminator and the perceptual loss looked at images through EfficientNet-Lite0 trained on ImageNet"),
        ({"lambda_perceptual": 0}, "the discriminator looked at images through EfficientNet-Lite0"),
        ({"gan_loss": "none"}, "the perceptual loss looked at images through EfficientNet-Lite0"),
        (
            {"perceptual_sha256": "ab12"},
            "the discriminator and the perceptual loss looked at images through EfficientNet-Lite0 with weights of",
        ),
        ({"discriminator": "patch", "gan_loss": "hinge", "lambda_perceptual": 0}, ""),
    ],
)
def test_the_network_that_judged_in_training_is_named(changes, words, tmp_path):
    save_run(tmp_path / "run", load_recipe("orthoforge-s", generator_width=4, **changes), places=["somewhere"])
    _, text = parts(save_pretrained(tmp_path / "run", tmp_path / "town"))
    assert f"In training {words}" in text if words else "In training" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("licence: MIT", "unknown `licence`; did you mean `license`"),
        ("sources: [{name: a}]", r"sources\.0\.license is missing"),
        ("scores: [{a: 1}]", "need `scored_on`"),
        ("limits: none", r"limits: .* \(is 'none'\)"),
        ("- a", "are `key: value` lines"),
        ("a: [", "not valid YAML"),
        ("license: Apache 2.0", "its SPDX identifier"),
    ],
)
def test_facts_that_do_not_fit_are_named(tmp_path, text, message):
    (tmp_path / "facts.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"(?s)facts\.yaml: .*{message}"):
        read_facts(tmp_path / "facts.yaml")


def test_facts_are_the_same_from_a_file_and_from_python(folder, tmp_path):
    facts = read_facts(folder.parent / "facts.yaml")
    assert isinstance(facts, CardFacts) and facts.sources[1] == Source("dubai", "CC0-1.0", "none asked for", use="60 tiles")
    with pytest.raises(ConfigError, match="no such file"):
        read_facts(tmp_path / "nowhere.yaml")


def test_the_example_in_the_docs_is_read_and_names_every_key(tmp_path):
    docs = (Path(__file__).parents[2] / "docs" / "pretrained.md").read_text(encoding="utf-8")
    (tmp_path / "facts.yaml").write_text(re.findall(r"```yaml\n(.*?)```", docs, flags=re.S)[0], encoding="utf-8")
    facts = read_facts(tmp_path / "facts.yaml")
    empty = {name for name, value in dataclasses.asdict(facts).items() if not value}
    assert empty == {"repository"}  # `publish --push` fills it in


# The STAC item. The extension's schema lies on the net; its rules of version 1.4 are said here again.


def test_the_item_is_an_item_of_stac(folder):
    item = item_of(folder)
    assert list(LocalValidator().item_validator("1.1.0").iter_errors(item)) == []
    read = pystac.Item.from_file(folder / "stac-item.json")
    assert read.to_dict(include_self_link=False)["properties"] == item["properties"]
    assert FileExtension.has_extension(read) and MLMExtension.has_extension(read)
    file = FileExtension.ext(read.assets["model"])
    payload = (folder / MODEL).read_bytes()
    assert (file.size, file.checksum) == (len(payload), "1220" + hashlib.sha256(payload).hexdigest())
    assert all((folder / asset["href"]).is_file() for asset in item["assets"].values())


def test_required_fields_and_enumerated_values_are_as_the_extension_wants_them(folder):
    item = item_of(folder)
    properties = item["properties"]
    assert {"mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output"} <= properties.keys()
    known = {
        "name", "architecture", "tasks", "framework", "framework_version", "memory_size", "total_parameters", "pretrained",
        "pretrained_source", "batch_size_suggestion", "accelerator", "accelerator_constrained", "accelerator_summary",
        "accelerator_count", "input", "output", "hyperparameters",
    }  # fmt: skip
    assert {key.removeprefix("mlm:") for key in properties if key.startswith("mlm:")} <= known
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]", properties["mlm:name"])
    assert set(properties["mlm:tasks"]) <= {task.value for task in TaskType}
    assert properties["mlm:accelerator"] in {None, *(kind.value for kind in AcceleratorType)}
    assert properties["mlm:framework"] == "PyTorch"
    assert re.fullmatch(r"\d+\.\d+\.\d+(\+[0-9A-Za-z.-]+)?", properties["mlm:framework_version"])
    assert all(re.fullmatch(r"[0-9a-zA-Z_.-]+", key) for key in properties["mlm:hyperparameters"])
    for entry, structure in ((properties["mlm:input"][0], "input"), (properties["mlm:output"][0], "result")):
        array = entry[structure]
        assert {"shape", "dim_order", "data_type"} <= array.keys()
        assert len(array["shape"]) == len(array["dim_order"]) == len(set(array["dim_order"]))
        assert all(isinstance(size, int) and (size == -1 or size > 0) for size in array["shape"])
        assert array["data_type"] in {kind.value for kind in DataType}
    assert properties["mlm:input"][0]["resize_type"] in {kind.value for kind in ResizeType}
    assert {"name", "bands", "input"} <= properties["mlm:input"][0].keys()
    assert {"name", "tasks", "result"} <= properties["mlm:output"][0].keys()
    assert set(properties["mlm:input"][0]["bands"]) == {band["name"] for band in properties["bands"]}
    # mlm:artifact_type: exactly where the role mlm:model is, and that at least once. The item's own fields are not an asset's.
    models = [asset for asset in item["assets"].values() if "mlm:model" in asset["roles"]]
    assert models == [asset for asset in item["assets"].values() if "mlm:artifact_type" in asset] != []
    assert not any(key.startswith("mlm:") and key != "mlm:artifact_type" for asset in item["assets"].values() for key in asset)


def test_the_item_says_what_the_generator_is(folder, run):
    generator = load_generator(run)
    mlm = MLMExtension.ext(pystac.Item.from_file(folder / "stac-item.json"))
    assert mlm.mlm_name == "town-s"
    assert mlm.total_parameters == sum(parameter.numel() for parameter in generator.network.parameters())
    assert mlm.input[0].input.shape == [-1, 3, -1, -1]
    assert mlm.hyperparameters.to_dict()["generator"] == RECIPE.generator
    properties = item_of(folder)["properties"]
    assert properties["mlm:memory_size"] == sum(tensor.numel() for tensor in generator.network.state_dict().values()) * 4  # float32
    assert (properties["gsd"], properties["license"], properties["mlm:tasks"]) == (0.3, "CC-BY-4.0", ["generative"])
    assert properties["processing:software"] == {"orthoforge": json.loads((folder / CONFIG).read_bytes())["orthoforge_version"]}


@pytest.mark.parametrize(("begun", "said"), [("null", (False, None)), ("runs/first", (True, "first"))])
def test_what_the_training_began_with_is_said_where_it_is_known(run, tmp_path, begun, said):
    save_run(tmp_path / "run")
    (tmp_path / "run" / "args.yaml").write_text(f"run: {{data: tiles, init_from: {begun}}}\n")
    properties = item_of(save_pretrained(tmp_path / "run", tmp_path / "town"))["properties"]
    assert (properties["mlm:pretrained"], properties["mlm:pretrained_source"]) == said
    assert "mlm:pretrained" not in item_of(load_generator(tmp_path / "run").save_pretrained(tmp_path / "other"))["properties"]


def test_classes_decide_the_input(tmp_path):
    save_run(tmp_path / "run", classes=["ground", "roof", "water", "tree"])
    properties = item_of(save_pretrained(tmp_path / "run", tmp_path / "town"))["properties"]
    assert properties["mlm:input"][0]["input"]["shape"] == [-1, 4, -1, -1]
    assert properties["mlm:hyperparameters"]["classes"] == ["ground", "roof", "water", "tree"]
    assert "classes: ground, roof, water, tree" in (tmp_path / "town" / "README.md").read_text(encoding="utf-8")
