"""Other engines: the images of PyTorch to a level, told apart in tags, and the fastest chosen once."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from conftest import make_grid, make_mask, write_tiff
from material_runs import refiner
from orthoforge.backends import choosing, engines, names
from orthoforge.config import Recipe
from orthoforge.errors import ConfigError, OutputExistsError
from orthoforge.generation import generate
from orthoforge.generation.outputs import is_made
from orthoforge.geo.rasters import read_tags
from orthoforge.trained_generator import load_generator
from saved_runs import save_run

pytest.importorskip("onnx", reason="the extra export is not installed")
pytest.importorskip("onnxruntime", reason="the extra export is not installed")
pytest.importorskip("openvino", reason="the extra export is not installed")

MODULATED = Recipe(name="small", generator="modulated", generator_width=4, crop_px=32, upsample="resize")
SCENE_NORM = Recipe(name="normed", generator="resnet6", generator_width=4, norm="instance", crop_px=32)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"), MODULATED, places=("aba", "oro")).parents[1]


@pytest.fixture(scope="module")
def generator(run):
    return load_generator(run)


@pytest.fixture(scope="module")
def elsewhere(generator):
    return {name: generator.on_backend(name) for name in ("onnx", "openvino")}


def some_mask(height, width):
    mask = np.zeros((height, width), np.uint8)
    mask[8:20, 6:30], mask[24:40, 10:22] = 1, 1
    return mask


def apart(image, other):
    return np.abs(image.astype(int) - other.astype(int)).max()


def test_a_signal_is_heard_after_engines_were_closed_in_their_order(run):
    code = f"""
        import gc, signal
        import numpy as np
        from orthoforge import load_generator

        plain, mask = load_generator({str(run)!r}), np.ones((64, 64), np.uint8)
        first, second = plain.on_backend("openvino"), plain.on_backend("openvino")
        first(mask), second(mask)
        for name in ("first", "second"):
            del globals()[name]
            gc.collect()
        signal.signal(signal.SIGTERM, lambda *_: print("heard"))
        signal.raise_signal(signal.SIGTERM)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "heard\n"), ended.stderr


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_seed_gives_one_image_to_a_level(name, generator, elsewhere):
    mask = some_mask(50, 70)
    for options in (
        {"seed": 3},
        {"seed": 3, "style": "oro"},
        {"seed": 4, "origin": (160, 320)},
        {"part": (slice(3, 20), slice(5, 9))},
    ):
        expected = generator(mask, **options)
        assert apart(elsewhere[name](mask, **options), expected) <= 1
    assert apart(generator(mask, seed=4), generator(mask, seed=3)) > 1


def test_several_masks_in_one_pass_are_those_of_each(generator, elsewhere):
    masks, seeds, origins = [some_mask(48, 64), some_mask(48, 64).T.copy().T[::-1]], [1, 2], [(0, 0), (32, 16)]
    expected = generator.together(masks, seeds=seeds, origins=origins)
    for image, other in zip(elsewhere["openvino"].together(masks, seeds=seeds, origins=origins), expected, strict=True):
        assert apart(image, other) <= 1


def test_a_scene_s_own_statistics_reach_the_engine(tmp_path):
    plain = load_generator(save_run(tmp_path, SCENE_NORM))
    mask = some_mask(48, 48)
    other = plain.on_backend("openvino")
    assert apart(other(mask), plain(mask)) <= 1
    of_scene = plain.for_scene([np.ones((48, 48), np.uint8)])
    assert apart(of_scene(mask), plain(mask)) > 1
    assert apart(other.for_scene([np.ones((48, 48), np.uint8)])(mask), of_scene(mask)) <= 1


def test_the_engine_is_asked_and_copies_of_the_generator_share_it(generator, elsewhere, monkeypatch):
    asked = []
    plain = engines.OpenVino.__call__
    monkeypatch.setattr(engines.OpenVino, "__call__", lambda self, inputs: asked.append(id(self)) or plain(self, inputs))
    elsewhere["openvino"](some_mask(48, 48))
    elsewhere["openvino"].with_style("aba")(some_mask(48, 48))
    assert len(asked) == 2 and len(set(asked)) == 1
    elsewhere["openvino"].on_backend("torch")(some_mask(48, 48))
    assert len(asked) == 2


def test_a_size_that_comes_again_is_compiled_for_it(generator, elsewhere):
    engine = elsewhere["openvino"].network.forward.backend
    for _ in range(3):
        image = elsewhere["openvino"](some_mask(64, 80), seed=1)
    assert any(dict(sizes).get("condition") == (1, 3, 64, 80) for sizes in engine._of_size)
    assert len(engine._of_size) <= engines._MOST_SIZES
    assert apart(image, generator(some_mask(64, 80), seed=1)) <= 1


def test_tags_say_who_made_an_image_and_another_backend_s_is_another_image(tmp_path, generator, elsewhere):
    mask = write_tiff(tmp_path / "m.tif", make_mask(32), make_grid(32))
    for made in (generator, elsewhere["openvino"]):
        (path,) = generate(made, mask, tmp_path / f"{made.backend}.tif")
        assert read_tags(path)["BACKEND"] == names.version_of(made.backend)
    torch_tags, other_tags = (read_tags(tmp_path / f"{name}.tif") for name in ("torch", "openvino"))
    assert torch_tags["REQUEST_SHA256"] != other_tags["REQUEST_SHA256"]
    assert json.loads((tmp_path / "openvino.json").read_text())["properties"]["orthoforge:backend"].startswith("openvino ")
    with pytest.raises(OutputExistsError, match=r"torch\.tif exists"):
        is_made(tmp_path / "torch.tif", other_tags)


def test_what_does_not_see_the_mask_does_not_see_it_elsewhere(tmp_path):
    blind = load_generator(refiner(tmp_path, sees_mask=False))
    mask, other = some_mask(64, 64), np.zeros((64, 64), np.uint8)
    canvas = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    elsewhere = blind.on_backend("onnx")
    assert np.array_equal(elsewhere(mask, told=canvas), elsewhere(other, told=canvas))
    assert apart(elsewhere(mask, told=canvas), blind(mask, told=canvas)) <= 1


def test_the_fastest_that_makes_the_same_image_is_chosen(capsys):
    image = np.full((4, 4, 3), 100, np.uint8)

    def slow():
        return lambda: (np.linalg.svd(np.ones((120, 120))), image)[1]

    def broken():
        raise RuntimeError("no such instruction")

    assert choosing.fastest({"torch": slow, "onnx": lambda: lambda: image + 1, "openvino": broken}) == "onnx"
    assert choosing.fastest({"torch": slow, "onnx": lambda: lambda: image + 2, "openvino": broken}) == "torch"
    said = capsys.readouterr().err
    assert "openvino cannot compute this network (RuntimeError: no such instruction); it is left out." in said
    assert "onnx makes another image (off by 2 levels); it is left out." in said


def test_a_choice_is_remembered_for_weights_threads_and_versions(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []

    def found(name):
        return lambda: asked.append(name) or name

    both = ["torch", "onnx"]
    assert [choosing.remembered("a", both, 2, found(name)) for name in ("onnx", "torch")] == ["onnx", "onnx"]
    assert choosing.remembered("a", both, 1, found("torch")) == "torch"
    assert choosing.remembered("b", both, 2, found("torch")) == "torch"
    assert asked == ["onnx", "torch", "torch"]
    choosing.cache_file().write_text("{")
    assert choosing.remembered("a", both, 2, found("torch")) == "torch"
    assert json.loads(choosing.cache_file().read_text())


def test_what_is_not_installed_is_said_and_torch_computes(generator, monkeypatch, capsys):
    monkeypatch.setattr(names, "_MODULES", names._MODULES | {"openvino": ("onnx", "no_such_module")})
    assert generator.on_backend("openvino").backend == "torch"
    assert "needs no_such_module (pip install 'orthoforge[export]'); PyTorch computes." in capsys.readouterr().err
    with pytest.raises(ConfigError, match="no backend 'tensorrt'"):
        generator.on_backend("tensorrt")
