"""Exported files: run by the script that users get, they make the images of `generate` to a level, and say whom to name."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from material_runs import TOWN, refiner
from orthoforge import export
from orthoforge.config import Recipe
from orthoforge.errors import ConfigError, OutputExistsError
from orthoforge.exporting.int8 import _recorded, _static, require_equal
from orthoforge.geo.grid import Window
from orthoforge.trained_generator import load_generator
from saved_runs import save_run

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra export is not installed")
openvino = pytest.importorskip("openvino", reason="the extra export is not installed")
pytest.importorskip("onnx", reason="the extra export is not installed")

MODULATED = Recipe(name="small", generator="modulated", generator_width=4, crop_px=32, upsample="resize")
UNET = Recipe(name="unet", generator="unet256", generator_width=1, crop_px=256, norm="batch")
RESNET = Recipe(name="resnet", generator="resunet6", generator_width=2, crop_px=32, norm="instance")
CLASSES = ["ground", "building", "water"]
_SPEC = importlib.util.spec_from_file_location("run_exported", Path(__file__).parents[2] / "examples" / "run_exported.py")
script = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(script)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def run(folder):
    return save_run(folder / "run", MODULATED, places=("aba", "oro")).parents[1]


@pytest.fixture(scope="module")
def exported(run, folder):
    return export(run, folder / "small.onnx", licence="CC-BY-4.0")


def session_of(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def some_mask(height, width):
    mask = np.zeros((height, width), np.uint8)
    mask[4:9, 2:20], mask[9:14, 16:20], mask[20:36, 7:24], mask[26:28, 9:11] = 1, 1, 1, 0
    mask[14, 20] = 1  # touches at a corner: another building
    return mask


def apart(image, other):
    assert image.std() > 0 and image.shape == other.shape
    return np.abs(image.astype(int) - other.astype(int)).max()


def test_numpy_and_onnx_runtime_make_the_same_image(run, exported):
    generator, session = load_generator(run), session_of(exported)
    for size, seed, place in (((48, 64), 0, None), ((41, 90), 2**35 + 7, "oro"), ((300, 33), 3, "aba")):
        mask = some_mask(*size)
        assert apart(script.image_of(session, mask, seed=seed, place=place), generator(mask, seed=seed, style=place)) <= 1


@pytest.mark.parametrize("recipe", [UNET, RESNET], ids=["unet", "resnet"])
def test_networks_without_styles_too(recipe, folder):
    run = save_run(folder / recipe.name, recipe)
    session = session_of(export(run, folder / f"{recipe.name}.onnx"))
    mask = some_mask(40, 50)
    assert apart(script.image_of(session, mask, seed=5), load_generator(run)(mask, seed=5)) <= 1


def test_masks_of_classes(folder):
    run = save_run(folder / "classes", MODULATED, classes=CLASSES, places=("aba",))
    path = export(run, folder / "classes.onnx")
    mask = some_mask(48, 48)
    mask[30:, :5] = 2
    assert apart(script.image_of(session_of(path), mask, seed=1), load_generator(run)(mask, seed=1)) <= 1
    assert told_by(path)["classes"] == {"names": CLASSES, "colours": [[[0, 0, 0]], [[1, 0, 0]], [[2, 0, 0]]]}


def test_a_canvas_is_an_input(folder):
    run = refiner(folder / "material")
    generator, mask = load_generator(run).with_style("place1"), TOWN[:96, :112]

    def read(window):
        return mask[window.slices]

    buildings = generator.buildings_of(read, *mask.shape)
    canvas = generator.teller(buildings, 2, read)(Window(0, 0, *mask.shape)).values
    session = session_of(export(run, folder / "material.onnx"))
    assert apart(script.image_of(session, mask, seed=2, place="place1", canvas=canvas), generator(mask, seed=2)) <= 1


def told_by(path):
    return json.loads(session_of(path).get_modelmeta().custom_metadata_map["orthoforge"])


def test_the_file_says_what_it_is_and_holds_the_generator_alone(run, exported):
    generator, told = load_generator(run), told_by(exported)
    assert (told["licence"], told["attribution"], told["weights_sha256"]) == ("CC-BY-4.0", "© Survey", generator.sha256)
    assert (told["pixel_size_m"], told["multiple_of"], told["classes"], told["looks"]["places"]) == (0.3, 16, None, ["aba", "oro"])
    encoder = sum(part.numel() for part in generator.network.style_encoder.parameters())
    bank = sum(part.numel() for part in generator.network.styles.buffers())
    weights = sum(part.numel() for part in generator.network.state_dict().values()) - encoder - bank
    import onnx

    held = sum(np.prod(one.dims, dtype=int) for one in onnx.load(exported).graph.initializer)
    assert held < 1.3 * weights  # kernels of 4×4 in place of 3×3


def as_session(told, run_it):
    return SimpleNamespace(
        get_modelmeta=lambda: SimpleNamespace(custom_metadata_map={"orthoforge": told}), run=lambda _, given: [run_it(given)]
    )


def test_openvino_and_torch_files_are_the_same_function(run, folder):
    expected, mask = load_generator(run)(some_mask(48, 64), seed=4), some_mask(48, 64)
    path = export(run, folder / "small.xml", to="openvino")
    model = openvino.Core().read_model(path)
    told = model.get_rt_info(["orthoforge"]).astype(str)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert apart(script.image_of(as_session(told, lambda given: compiled(given)[0]), mask, seed=4), expected) <= 1
    files = {"orthoforge.json": ""}
    module = torch.jit.load(export(run, folder / "small.pt", to="torch"), _extra_files=files)
    told = files["orthoforge.json"]

    def in_torch(given):
        with torch.inference_mode():
            return module(*(torch.from_numpy(given[name]) for name in json.loads(told)["inputs"])).numpy()

    assert apart(script.image_of(as_session(told, in_torch), mask, seed=4), expected) <= 1


def test_noise_and_look_can_be_fixed(run, folder):
    path = export(run, folder / "fixed.onnx", style="oro", seed=6, size=48)
    assert [one.name for one in session_of(path).get_inputs()] == ["condition", "colours"]
    mask = some_mask(48, 48)
    assert apart(script.image_of(session_of(path), mask, seed=6), load_generator(run)(mask, seed=6, style="oro")) <= 1


@pytest.mark.parametrize(
    ("options", "name", "words"),
    [
        ({"to": "openvino"}, "x.onnx", "end in .xml"),
        ({"seed": 1}, "x.onnx", "give --size too"),
        ({"size": 40}, "x.onnx", "multiples of 16 px from 32 px on"),
        ({"to": "torch", "int8": "tiles"}, "x.pt", "int8 is for --to onnx"),
        ({"style": "uru"}, "x.onnx", "no style 'uru'"),
    ],
)
def test_what_cannot_be_is_refused(run, folder, options, name, words):
    with pytest.raises(ConfigError, match=words):
        export(run, folder / name, **options)
    assert not (folder / name).exists()


def test_a_file_is_not_replaced_unasked(run, exported):
    with pytest.raises(OutputExistsError):
        export(run, exported)


class Tiles:
    """Real tiles of one look."""

    rows = [SimpleNamespace(place="aba")] * 24

    def __init__(self):
        self.images = np.random.default_rng(0).integers(60, 120, (24, 64, 64, 3)).astype(np.uint8)
        self.images[:, 20:40, 20:40] += np.arange(24, dtype=np.uint8)[:, None, None, None] * 4

    def tile(self, tile_id):
        return self.images[tile_id], some_mask(64, 64) * np.uint8(255)


def test_int8_is_refused_where_it_loses_more_than_the_interval():
    tiles, ids = Tiles(), list(range(24))
    like = np.clip(tiles.images.astype(int) + 3, 0, 255).astype(np.uint8)
    flat = np.full_like(like, 90)
    require_equal(lambda at: like[at], lambda at: like[at] + np.uint8(1), tiles, ids)
    with pytest.raises(ConfigError, match="int8 loses too much: the kernel distance"):
        require_equal(lambda at: like[at], lambda at: flat[at], tiles, ids)


def test_eight_bits_make_nearly_the_same_image(run, exported, folder):
    from orthoforge.backends.elsewhere import converted

    generator = load_generator(run)
    model, noise = converted(generator.network, channels=3, bands=3)
    int8 = _static(model, _recorded(model, generator, noise, Tiles(), [0, 1, 2]))
    assert len(int8) < 0.75 * len(model)  # transposed convolutions keep their floats
    given = _recorded(model, generator, noise, Tiles(), [3])[0]
    images = [onnxruntime.InferenceSession(one).run(None, given)[0] for one in (model, int8)]
    assert 0 < np.abs(images[0] - images[1]).mean() < 0.1
