"""A small segmenter learns bright roofs, gives the same bits twice, takes any size, and is the same after saving."""

import dataclasses
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from conftest import make_grid, make_image, write_tiff
from orthoforge.errors import CheckpointError, ConfigError, DataError, DivergedError, OutputExistsError
from orthoforge.measures.segmenter.fidelity import image_fidelity, segmenter_tiles
from orthoforge.measures.segmenter.mask_scores import mask_scores
from orthoforge.measures.segmenter.segmentation import Segmenter, SegmenterSettings, tile_sample, train_segmenter
from orthoforge.models.conditions import encode_image
from orthoforge.tiles.prepare import prepare

SIZE = 64
SETTINGS = SegmenterSettings(steps=25, batch_size=4, crop_px=SIZE, learning_rate=5e-3, width=8)


def roofs(size, seed):
    """A mask of large buildings, one in each square of 32 px, and its image with bright roofs."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((size, size), np.uint8)
    for row in range(0, size, 32):
        for col in range(0, size, 32):
            (top, left), (high, wide) = rng.integers(2, 8, 2), rng.integers(12, 24, 2)
            mask[row + top : row + top + high, col + left : col + left + wide] = 255
    return make_image(mask, seed=seed), mask


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("segmenter")
    for number in range(1, 11):
        for folder, array in zip(("images", "masks"), roofs(2 * SIZE, number), strict=True):
            write_tiff(root / "data" / folder / f"austin{number}.tif", array, make_grid(2 * SIZE))
    return prepare(root / "data", root / "tiles", grid=2, size=SIZE, split="digits")


@pytest.fixture(scope="module")
def trained(store):
    training, _ = segmenter_tiles(store)
    return train_segmenter(tile_sample(store, training, SETTINGS), SETTINGS)


def noise(step, classes=None, size=32):
    """Two images without any meaning, and masks of two values."""
    rng = np.random.default_rng(step)
    images = rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    masks = rng.integers(0, classes or 2, (2, size, size), dtype=np.uint8)
    return images, masks if classes else masks * np.uint8(255)


def test_it_learns_bright_roofs_and_judges_images_by_them(store, trained):
    _, scored = segmenter_tiles(store)
    images, masks = (np.stack(arrays) for arrays in zip(*map(store.tile, scored), strict=True))
    predicted = trained(images)
    assert predicted.dtype == np.uint8 and set(np.unique(predicted)) == {0, 255}
    assert mask_scores(predicted, masks)["iou"] > 0.8
    result = image_fidelity(trained, store, scored, lambda tile_id: store.tile(tile_id)[0])
    assert {entry["value"] for entry in result["ratio"].values()} == {1.0}
    assert result["shuffled"]["iou"] < 0.6 * result["real"]["iou"]
    grey = image_fidelity(trained, store, scored, lambda tile_id: np.full((SIZE, SIZE, 3), 90, np.uint8))
    assert grey["ratio"]["iou"]["value"] < 0.6


def test_the_same_seed_gives_the_same_bits_and_leaves_torchs_state_alone(store):
    short = replace(SETTINGS, steps=2)

    def train(settings):
        return train_segmenter(tile_sample(store, store.ids("train"), settings), settings)

    before = torch.get_rng_state()
    first = train(short)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    again, other = train(short), train(replace(short, seed=1))
    assert all(
        torch.equal(a, b) for a, b in zip(first.network.state_dict().values(), again.network.state_dict().values(), strict=True)
    )
    assert first.sha256 == again.sha256 != other.sha256


def test_any_size_is_taken_and_pictures_do_not_see_each_other(trained):
    image, mask = roofs(160, 77)
    image, mask = image[:131, :100], mask[:131, :100]
    predicted = trained(image[None])
    assert predicted.shape == (1, 131, 100)
    assert mask_scores(predicted[0], mask)["iou"] > 0.7
    assert trained(image[None, :1, :1]).shape == (1, 1, 1)
    pictures = np.stack([np.roll(image, 7 * number, axis=1) for number in range(5)])
    apart = np.concatenate([trained.probabilities(picture[None]) for picture in pictures])
    assert np.abs(trained.probabilities(pictures) - apart).max() < 1e-4


def test_features_are_means_over_places_and_those_of_tensors(trained):
    images = np.stack([roofs(SIZE, seed)[0] for seed in range(3)])
    features = trained.features(images)
    assert features.shape == (3, 320) and features.dtype == np.float32
    embedded = trained.embed(encode_image(torch.from_numpy(images))).numpy()
    assert np.abs(features - embedded).max() < 1e-4
    assert np.abs(features[0] - features[1]).max() > 1e-3


def test_classes_are_learnt_as_indices():
    def stripes(step):
        """Four stripes, each red, green or blue; class = colour."""
        order = np.random.default_rng(step).integers(0, 3, (4, 4), dtype=np.uint8)
        masks = np.repeat(np.repeat(order[:, None], SIZE, axis=1), SIZE // 4, axis=2)
        return (np.eye(3, dtype=np.uint8) * 150 + 50)[masks], masks

    segmenter = train_segmenter(stripes, replace(SETTINGS, steps=20), class_count=3)
    images, masks = stripes(1000)
    assert mask_scores(segmenter(images), masks, class_count=3)["iou"] > 0.4  # by chance 0.2
    probabilities = segmenter.probabilities(images)
    assert probabilities.shape == (4, 3, SIZE, SIZE)
    assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-5


def test_samples_are_a_function_of_seed_and_step_and_visit_every_tile(store):
    ids = store.ids("val")
    settings = replace(SETTINGS, crop_px=32)
    sample = tile_sample(store, ids, settings)
    images, masks = sample(3)
    assert images.shape == (4, 32, 32, 3) and masks.shape == (4, 32, 32)
    assert all(np.array_equal(a, b) for a, b in zip(tile_sample(store, ids, settings)(3), (images, masks), strict=True))
    assert not np.array_equal(sample(4)[0], images)
    assert not np.array_equal(tile_sample(store, ids, replace(settings, seed=1))(3)[0], images)
    # Whole tiles where the crop is larger; eight tiles in two steps, each once: their masks are those, turned.
    whole = tile_sample(store, ids, replace(settings, crop_px=500))
    seen = sorted(int((mask > 0).sum()) for step in (0, 1) for mask in whole(step)[1])
    assert seen == sorted(int((store.tile(tile_id)[1] > 0).sum()) for tile_id in ids)


def test_saved_and_loaded_it_is_the_same(trained, tmp_path):
    trained.save(tmp_path / "eye")
    loaded = Segmenter.load(tmp_path / "eye")
    image = roofs(SIZE, 5)[0][None]
    assert np.array_equal(loaded.probabilities(image), trained.probabilities(image))
    assert (loaded.sha256, loaded.settings, loaded.class_count) == (trained.sha256, SETTINGS, None)
    with pytest.raises(OutputExistsError):
        trained.save(tmp_path / "eye")
    trained.save(tmp_path / "eye", overwrite=True)


@pytest.mark.parametrize(
    ("changes", "spoil", "message"),
    [
        ({}, {"nan": True}, r"holds NaN or Inf"),
        ({"settings": {"width": 4096}}, {}, r"in the network and \(.*in the file"),
        ({"settings": {"width": -1}}, {}, r"width is -1; a segmenter needs 1 or more"),
        ({"settings": {"width": "wide"}}, {}, r"settings\.width: .* \(is 'wide'\)"),
        ({"settings": 3}, {}, r"settings: "),
        ({"class_count": 0}, {}, r"class_count: "),
        ({"format": None}, {}, r"format: "),
        ({"format": 2}, {}, r"written by a newer orthoforge \(format 2\)"),
        (None, {}, r"no segmenter of this version"),
    ],
)
def test_weights_that_are_no_segmenters_are_refused_though_their_checksum_fits(changes, spoil, message, trained, tmp_path):
    trained.save(tmp_path)
    weights, description = tmp_path / "model.safetensors", tmp_path / "segmenter.json"
    tensors = load_file(weights)
    if spoil:
        next(tensor for tensor in tensors.values() if tensor.is_floating_point()).view(-1)[0] = float("nan")
    said = {"format": 1, "settings": {}, "class_count": None} | (changes or {})
    if isinstance(said["settings"], dict):
        said["settings"] = dataclasses.asdict(SETTINGS) | said["settings"]
    payload = save(tensors, None if changes is None else {"segmenter": json.dumps(said)})
    weights.write_bytes(payload)
    description.write_text(json.dumps({"sha256": hashlib.sha256(payload).hexdigest()}))
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: .*{message}"):
        Segmenter.load(tmp_path)


def test_damaged_files_are_refused(trained, tmp_path):
    with pytest.raises(CheckpointError, match=r"model\.safetensors: missing"):
        Segmenter.load(tmp_path)
    trained.save(tmp_path)
    weights, description = tmp_path / "model.safetensors", tmp_path / "segmenter.json"
    sound = weights.read_bytes()
    for place in (100, len(sound) // 2, len(sound) - 1):
        broken = bytearray(sound)
        broken[place] ^= 1
        weights.write_bytes(broken)
        with pytest.raises(CheckpointError, match="checksum does not fit"):
            Segmenter.load(tmp_path)
    weights.write_bytes(sound)
    description.write_text(json.dumps({"sha256": None}))
    with pytest.raises(CheckpointError, match="checksum does not fit"):
        Segmenter.load(tmp_path)
    description.write_text("{")
    with pytest.raises(CheckpointError, match="not readable"):
        Segmenter.load(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"), [("steps", 0), ("batch_size", 1), ("crop_px", 0), ("width", 0), ("learning_rate", 0.0), ("seed", -1)]
)
def test_settings_that_cannot_work_are_refused(field, value):
    with pytest.raises(ConfigError, match=field):
        SegmenterSettings(**{field: value})


def test_bad_batches_and_images_are_named(store, trained):
    short = replace(SETTINGS, steps=1)
    images, masks = noise(0)
    with pytest.raises(DataError, match=r"step 0: .* as high and wide as its image"):
        train_segmenter(lambda step: (images, masks[:, :-1]), short)
    with pytest.raises(DataError, match=r"the value 4; 3 classes end at 2"):
        train_segmenter(lambda step: noise(step, classes=5), short, class_count=3)
    with pytest.raises(DataError, match=r"float32"):
        trained(images.astype(np.float32))
    with pytest.raises(DataError, match=r"\(number, height, width, 3\)"):
        trained(images[0])
    with pytest.raises(DataError, match="no tile to train"):
        tile_sample(store, np.array([], np.int64), SETTINGS)
    with pytest.raises(DivergedError, match="learning_rate"):
        train_segmenter(noise, replace(SETTINGS, steps=10, learning_rate=1e30))


def test_what_it_predicts_is_what_its_network_says_though_batch_norm_is_folded_in(trained, store):
    images = np.stack([store.tile(i)[0] for i in store.ids("test")[:3].tolist()])
    with torch.inference_mode():
        expected = torch.sigmoid(trained.network(encode_image(torch.from_numpy(images)))[:, 0]).numpy()
    assert np.abs(trained.probabilities(images) - expected).max() < 1e-4
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in trained._looking.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in trained.network.modules())
