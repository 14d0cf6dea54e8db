"""Several trainings in one call: shared tiles, predecessors first, interruptions, failures, and the page at the end."""

import re
from dataclasses import replace

import pytest
import yaml

from conftest import make_dataset
from orthoforge import run_files
from orthoforge.config import Recipe, load_recipe
from orthoforge.errors import ConfigError, DataError
from orthoforge.experiments import experiment, sweep, with_predecessors
from orthoforge.tiles.prepare import prepare
from orthoforge.training.hardware import memory_advice

SMALL = Recipe(
    name="first", tiles="--grid 1 --size 48 --split digits", crop_px=32, batch_size=4, generator="resnet6", generator_width=2,
    discriminator_width=2, epochs=1, decay_epochs=0, precision="float32",
)  # fmt: skip
FINER = replace(SMALL, name="finer", tiles="--grid 2 --size 48 --split digits", starts_from="first", outcome="better")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    names = [f"{place}{number}" for place in ("arden", "brennau") for number in (1, 2, 7, 9)]
    return make_dataset(tmp_path_factory.mktemp("scenes"), names, 96)


def steps(run):
    return [row["step"] for row in run_files.read_results(run)]


def test_each_recipe_gets_its_tiles_and_its_predecessor_and_all_are_compared(scenes, tmp_path, capsys):
    other = replace(SMALL, name="other", norm="instance")
    outcome = experiment([FINER, SMALL, other], scenes, tmp_path / "out", price_per_hour=2.0)
    assert outcome.failures == {}
    stores = sorted(path.name for path in (tmp_path / "out/tiles").iterdir() if path.is_dir())
    assert stores == ["grid-1-size-48-split-digits", "grid-2-size-48-split-digits"], "two of three share theirs"
    said = capsys.readouterr().out
    assert said.index("first (1 of 3)") < said.index("finer (2 of 3)"), "its weights are needed"
    args = yaml.safe_load((tmp_path / "out/runs/finer/args.yaml").read_text())
    assert args["run"]["init_from"] == str(tmp_path / "out/runs/first")
    assert steps(tmp_path / "out/runs/finer") == [4]
    page = outcome.report.read_text()
    assert all(f">{name}<" in page for name in ("first", "finer", "other"))


def test_called_again_it_keeps_what_is_finished_and_goes_on_with_the_rest(scenes, tmp_path, monkeypatch, capsys):
    out, trained = tmp_path / "out", []
    from orthoforge import experiments

    inner = experiments.train

    def train(recipe, tiles, run, **options):
        trained.append(recipe.name)
        # As when Ctrl-C comes in the second one: it saves and returns before its last epoch.
        return inner(recipe, tiles, run, **options, stop_after=1 if len(trained) == 2 else None)

    monkeypatch.setattr(experiments, "train", train)
    recipes = [replace(SMALL, epochs=2, name=name, seed=seed) for seed, name in enumerate("abc")]
    with pytest.raises(KeyboardInterrupt):
        experiment(recipes, scenes, out)
    assert trained == ["a", "b"], "the third was not begun"
    said = capsys.readouterr().out
    assert "The same command goes on." in said
    assert "--resume" not in said, "which is no option of it"
    before = (out / "runs/a/results.csv").read_bytes()
    assert experiment(recipes, scenes, out).report.is_file()
    assert (out / "runs/a/results.csv").read_bytes() == before
    assert steps(out / "runs/b") == steps(out / "runs/c") == [1, 2]


def test_a_failure_is_reported_and_the_others_go_on(scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    vgg = replace(SMALL, name="vgg", perceptual="vgg19", perceptual_layers=("relu5_4",), lambda_perceptual=1.0)
    after = replace(SMALL, name="after", starts_from="vgg")
    outcome = experiment([vgg, after, SMALL], scenes, tmp_path / "out")
    assert set(outcome.failures) == {"vgg", "after"}
    assert "vgg19-dcbb9e9d.pth" in outcome.failures["vgg"]
    assert "whose weights it starts from, failed" in outcome.failures["after"]
    assert outcome.report.is_file()
    assert steps(tmp_path / "out/runs/first") == [1]


def test_when_nothing_comes_about_there_is_no_page(scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    vgg = replace(SMALL, name="vgg", perceptual="vgg19", perceptual_layers=("relu5_4",), lambda_perceptual=1.0)
    outcome = experiment([vgg], scenes, tmp_path / "out")
    assert outcome.report is None
    assert set(outcome.failures) == {"vgg"}


def test_bad_scenes_stop_it_before_anything_is_trained(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        experiment([SMALL], tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out/runs").exists()


def test_recipes_by_name_bring_their_predecessors_with_the_same_overrides():
    plans = with_predecessors([load_recipe("mid-2x2-from-instance", epochs=3), load_recipe("baseline", epochs=3)], {"epochs": 3})
    assert list(plans) == ["instance-norm", "mid-2x2-from-instance", "baseline"]
    assert {recipe.epochs for recipe in plans.values()} == {3}


def test_recipes_that_start_from_each_other_are_refused():
    a, b = replace(SMALL, name="a", starts_from="b"), replace(SMALL, name="b", starts_from="a")
    with pytest.raises(ConfigError, match="a starts from b, which starts from a"):
        with_predecessors([a, b], {})


def test_two_recipes_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="two recipes are called first"):
        with_predecessors([SMALL, replace(SMALL, lambda_l1=5.0)], {})
    assert list(with_predecessors([SMALL, SMALL], {})) == ["first"]


def test_a_recipe_that_does_not_fit_into_memory_is_that_recipes_failure(scenes, tmp_path, monkeypatch):
    from orthoforge import experiments

    inner = experiments.train

    def train(recipe, tiles, run, **options):
        if recipe.name == "large":
            with memory_advice(recipe):
                raise MemoryError
        return inner(recipe, tiles, run, **options)

    monkeypatch.setattr(experiments, "train", train)
    outcome = experiment([replace(SMALL, name="large"), SMALL], scenes, tmp_path / "out")
    assert "out of memory" in outcome.failures["large"]
    assert outcome.report.is_file()


def test_a_sweep_of_a_recipe_that_starts_from_another_asks_for_its_run(scenes, tmp_path):
    prepare(scenes, tmp_path / "tiles", grid=1, size=48, split="digits", workers=1)
    small = {"crop_px": 32, "generator_width": 2, "discriminator_width": 2, "epochs": 1, "decay_epochs": 0}
    outcome = sweep("mid-2x2-from-baseline", tmp_path / "tiles", tmp_path / "out", {"lambda_l1": ["1"]}, overrides=small)
    assert "name it with --init-from" in outcome.failures["lambda_l1=1"]


def test_layers_are_joined_by_a_plus_in_text():
    assert load_recipe("tiny", perceptual_layers="stem+stage2").perceptual_layers == ("stem", "stage2")


def test_a_sweep_trains_every_combination_and_compares_them(scenes, tmp_path):
    prepare(scenes, tmp_path / "tiles", grid=1, size=48, split="digits", workers=1)
    path = tmp_path / "small.yaml"
    path.write_text("{name: small, crop_px: 32, generator_width: 2, discriminator_width: 2, generator: resnet6}")
    over = {"learning_rate": ["1e-4", "1e-3"], "lambda_l1": ["10", "100"]}
    outcome = sweep(path, tmp_path / "tiles", tmp_path / "out", over, overrides={"epochs": 1, "decay_epochs": 0})
    names = sorted(folder.name for folder in (tmp_path / "out/runs").iterdir())
    assert names == [
        "learning_rate=1e-3,lambda_l1=10", "learning_rate=1e-3,lambda_l1=100",
        "learning_rate=1e-4,lambda_l1=10", "learning_rate=1e-4,lambda_l1=100",
    ]  # fmt: skip
    args = yaml.safe_load((tmp_path / "out/runs" / names[0] / "args.yaml").read_text())
    assert (args["learning_rate"], args["lambda_l1"], args["epochs"]) == (1e-3, 10, 1)
    page = outcome.report.read_text()
    assert all(re.search(rf">{name}<", page) for name in names)


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({}, "nothing to sweep over"),
        ({"epochs": []}, "nothing to sweep over"),
        ({"epoch": ["1"]}, "did you mean `epochs`"),
        ({"tiles": ["a"]}, "tiles cannot be swept"),
    ],
)
def test_a_sweep_over_nothing_or_over_no_field_is_refused(over, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        sweep("tiny", tmp_path, tmp_path / "out", over)
