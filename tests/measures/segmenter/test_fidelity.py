"""Agreement of masks by hand; fidelity of real images is 1, of blurred ones less, of another mask's images near chance."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.crs import CRS
from scipy import ndimage

from conftest import make_dataset, make_grid, make_image, make_mask, make_pair, write_tiff
from orthoforge.errors import DataError
from orthoforge.masks.classes import Classes
from orthoforge.measures.segmenter.fidelity import image_fidelity, segmenter_tiles
from orthoforge.measures.segmenter.mask_scores import components, mask_scores, pooled_scores
from orthoforge.measures.segmenter.segmentation import Segmenter, SegmenterSettings
from orthoforge.tiles.prepare import prepare

SIZE = 64


def fidelity(segmenter, store, tile_ids, generate):
    """Of what ``generate`` makes of the tiles' masks."""
    return image_fidelity(segmenter, store, tile_ids, lambda tile_id: generate(store.tile(tile_id)[1]))


class Brightness(torch.nn.Module):
    """Building is what is brighter on average over 3 × 3 pixels than halfway between ``make_image``'s ground and roofs."""

    def forward(self, images):
        mean = F.avg_pool2d(images.mean(dim=1, keepdim=True), 3, stride=1, padding=1, count_include_pad=False)
        return (mean * 127.5 + 127.5 - 117) / 5

    def deepest(self, images):
        return images


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("fidelity")
    rng = np.random.default_rng(0)
    for place in ("austin", "vienna"):
        for number in range(1, 11):  # moved at random: on one lattice a stranger's mask would fit
            mask = np.roll(make_mask(2 * SIZE, seed=number), rng.integers(0, 24, 2), axis=(0, 1))
            for folder, array in (("images", make_image(mask, seed=number)), ("masks", mask)):
                write_tiff(root / "data" / folder / f"{place}{number}.tif", array, make_grid(2 * SIZE))
    return prepare(root / "data", root / "tiles", grid=2, size=SIZE, split="digits")


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter(Brightness(), SegmenterSettings(), class_count=None)


def square(row, col, side, size=16):
    mask = np.zeros((size, size), np.uint8)
    mask[row : row + side, col : col + side] = 255
    return mask


def blurred(image):
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    return F.interpolate(F.avg_pool2d(pixels, 8), size=image.shape[:2], mode="bilinear")[0].permute(1, 2, 0).byte().numpy()


def test_scores_by_hand():
    # 4 × 4 against 4 × 4 two columns to the right: 8 shared, 8 extra, 8 missed.
    scores = mask_scores(square(4, 4, 4), square(4, 6, 4), boundary_px=0)
    assert (scores["hit"], scores["extra"], scores["missed"]) == (8, 8, 8)
    assert scores["iou"] == pytest.approx(1 / 3) and scores["f1"] == pytest.approx(0.5)
    # Edges are rings of 12; at distance 0 the rings share two pixels in the top row, two in the bottom row.
    assert [scores[name] for name in ("edge_predicted", "edge_right", "edge_real", "edge_found")] == [12, 4, 12, 4]
    assert scores["boundary_f"] == pytest.approx(1 / 3)
    # No edge pixel is farther from the other ring than the rings are apart.
    assert mask_scores(square(4, 4, 4), square(4, 5, 4), boundary_px=1)["boundary_f"] == 1
    assert mask_scores(square(4, 4, 4), square(4, 6, 4), boundary_px=2)["boundary_f"] == 1
    # A disc, no square: one step across the diagonal is 1.41 pixels away.
    diagonal = mask_scores(square(4, 4, 1), square(5, 5, 1), boundary_px=1)
    assert (diagonal["edge_right"], diagonal["boundary_f"]) == (0, 0)


def test_empty_masks_and_the_pictures_border():
    empty, full = np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)
    assert [mask_scores(empty, empty)[name] for name in ("iou", "f1", "boundary_f")] == [1, 1, 1]
    assert [mask_scores(full, empty)[name] for name in ("iou", "f1")] == [0, 0]
    assert mask_scores(full, full)["edge_real"] == 0
    assert mask_scores(square(0, 0, 4, 8), square(0, 0, 4, 8))["edge_real"] == 7


def test_counts_of_tiles_add_up_to_those_of_the_set():
    rng = np.random.default_rng(0)
    predicted, masks = (rng.integers(0, 2, (5, 12, 12)).astype(np.uint8) * 255 for _ in range(2))
    tiles = [mask_scores(*pair) for pair in zip(predicted, masks, strict=True)]
    assert pooled_scores(tiles) == mask_scores(predicted, masks)
    # Not the mean of the tiles' scores: a large building weighs more than a small one.
    large, small = mask_scores(square(0, 0, 10), square(0, 0, 10)), mask_scores(square(0, 0, 2), square(8, 8, 2))
    assert pooled_scores([large, small])["iou"] == pytest.approx(100 / 108)


def test_scores_of_classes_by_hand():
    mask = np.array([[0, 0, 1, 1]], np.uint8)
    predicted = np.array([[0, 1, 1, 1]], np.uint8)
    scores = mask_scores(predicted, mask, class_count=4)
    assert scores["iou.0"] == 0.5 and scores["iou.1"] == pytest.approx(2 / 3)
    assert scores["iou"] == pytest.approx((1 / 2 + 2 / 3) / 2)  # classes 2 and 3 are nowhere
    assert pooled_scores([scores, scores])["iou"] == scores["iou"]


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_components_are_scipys(mask):
    ours, (theirs, count) = components(mask), ndimage.label(mask)
    assert ours.max() == count
    assert len({(a, b) for a, b in zip(ours.ravel().tolist(), theirs.ravel().tolist(), strict=True)}) == count + (~mask).any()


def test_a_long_winding_part_is_one():
    spiral = np.zeros((41, 41), bool)
    spiral[::2] = True
    spiral[1::4, -1] = spiral[3::4, 0] = True
    assert components(spiral).max() == 1


def test_real_images_are_faithful_by_definition_blurred_ones_less_and_strangers_not_at_all(store, segmenter):
    _, scored = segmenter_tiles(store)
    real = image_fidelity(segmenter, store, scored, lambda tile_id: store.tile(tile_id)[0])
    assert real["real"]["iou"] > 0.8
    assert {entry["value"] for entry in real["ratio"].values()} == {1.0}
    assert real["ratio"]["iou"]["interval"] == [1.0, 1.0]
    spoilt = image_fidelity(segmenter, store, scored, lambda tile_id: blurred(store.tile(tile_id)[0]))
    assert 0.05 < spoilt["ratio"]["iou"]["value"] < 0.8
    low, high = spoilt["ratio"]["iou"]["interval"]
    assert low <= spoilt["ratio"]["iou"]["value"] <= high < 1
    assert spoilt["ratio"]["boundary_f"]["value"] < 0.9
    # The right number of pixels in the wrong places.
    strangers = dict(zip(scored.tolist(), np.roll(scored, 3).tolist(), strict=True))
    wrong = image_fidelity(segmenter, store, scored, lambda tile_id: store.tile(strangers[tile_id])[0])
    assert wrong["ratio"]["iou"]["value"] < 0.3
    for result in (real, spoilt, wrong):
        assert result["shuffled"]["iou"] == pytest.approx(result["shuffled"]["chance_iou"], abs=0.1)
        assert result["shuffled"]["chance_iou"] < 0.3
    assert real["notes"] == wrong["notes"] == []


def test_a_generator_is_given_the_masks_and_the_result_is_plain(store, segmenter):
    _, scored = segmenter_tiles(store)
    result = fidelity(segmenter, store, scored, make_image)
    assert result["ratio"]["iou"]["value"] == pytest.approx(1, abs=0.1)
    assert result["n"] == len(scored) == 8 and result["scenes"] == 2
    assert set(result["by_place"]) == {"austin", "vienna"}
    places = result["by_place"].values()
    assert sum(place["real"]["hit"] for place in places) == result["real"]["hit"]
    assert {place["ratio"]["iou"]["interval"] is None for place in places} == {True}  # one scene each
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result == fidelity(segmenter, store, scored, make_image)


def test_buildings_are_counted_by_size(store, segmenter):
    _, scored = segmenter_tiles(store)
    result = image_fidelity(segmenter, store, scored, lambda tile_id: np.full((SIZE, SIZE, 3), 90, np.uint8))
    expected = [store.rows[i].gsd_m ** 2 * area for i in scored for area in areas(store.tile(i)[1])]
    sizes = result["by_size"]
    assert sum(entry["n"] for entry in sizes.values()) == len(expected)
    assert sizes["small (m²)"]["n"] == sum(area < 50 for area in expected)
    assert sizes["small (m²)"]["real"]["found"] > 0.8
    assert sizes["small (m²)"]["generated"] == {"pixel_recall": 0, "found": 0}
    assert result["generated"]["iou"] == result["ratio"]["iou"]["value"] == 0


def areas(mask):
    labels, count = ndimage.label(mask)
    return [int((labels == number).sum()) for number in range(1, count + 1)]


def test_classes_are_scored_one_by_one(store, segmenter):
    """The same tiles as ground (0) and building (1): class 1 scores as building masks do, and the whole is the classes' mean."""

    class TwoLogits(Brightness):
        def forward(self, images):
            building = super().forward(images)
            return torch.cat([-building, building], dim=1)

    _, scored = segmenter_tiles(store)
    shards = {}
    for scene in {store.rows[i].scene for i in scored}:
        tiles = [store.tile(i) for i, row in enumerate(store.rows) if row.scene == scene]
        shards[scene] = np.stack([image for image, _ in tiles]), np.stack([mask // 255 for _, mask in tiles])
    classes = Classes(("ground", "building"), (((0, 0, 0),), ((255, 255, 255),)))
    with_classes = replace(store, classes=classes, _groups={}, _shards=shards)
    eye = Segmenter(TwoLogits(), SegmenterSettings(), class_count=2)
    result = image_fidelity(eye, with_classes, scored, lambda tile_id: blurred(store.tile(tile_id)[0]))
    binary = image_fidelity(segmenter, store, scored, lambda tile_id: blurred(store.tile(tile_id)[0]))
    assert result["generated"]["iou.1"] == binary["generated"]["iou"]
    assert result["generated"]["iou"] == np.mean([result["generated"][f"iou.{index}"] for index in (0, 1)])
    assert result["ratio"]["iou"]["value"] < 1 and result["by_size"] is None
    with pytest.raises(DataError, match=r"its masks hold 2 classes, the segmenter was trained on buildings only"):
        image_fidelity(segmenter, with_classes, scored, lambda tile_id: store.tile(tile_id)[0])


def test_tiles_for_the_segmenter_are_none_of_the_generators(store):
    training, scored = segmenter_tiles(store)
    assert {store.rows[i].split for i in training} == {"val"}
    assert {store.rows[i].split for i in scored} == {"test"}


def test_with_too_few_of_one_split_both_are_halved_by_scene(tmp_path):
    # Without a test split (numbers 1 to 5 validate), all ten scenes on one spot of the ground: nothing can be kept apart.
    make_dataset(tmp_path / "same", [f"austin{number}" for number in range(1, 9)], 2 * SIZE)
    same = prepare(tmp_path / "same", tmp_path / "same_tiles", grid=2, size=SIZE, split="inria")
    with pytest.raises(DataError, match=r"20 validation and 0 test tiles are too few.*Prepare more scenes"):
        segmenter_tiles(same)
    for number in range(4, 9):  # the same ground, called by another CRS
        make_pair(tmp_path / "same", f"austin{number}", 2 * SIZE, seed=number, crs=CRS.from_epsg(25833))
    with pytest.raises(DataError, match=r"20 validation and 0 test tiles are too few.*Prepare more scenes"):
        segmenter_tiles(prepare(tmp_path / "same", tmp_path / "renamed_tiles", grid=2, size=SIZE, split="inria"))
    make_dataset(tmp_path / "apart", [f"austin{number}" for number in range(1, 9)], 2 * SIZE, crs=None)
    apart = prepare(tmp_path / "apart", tmp_path / "apart_tiles", grid=2, size=SIZE, split="inria")
    training, scored = segmenter_tiles(apart)
    assert {apart.rows[i].scene for i in training} == {"austin1", "austin2", "austin3"}
    assert {apart.rows[i].scene for i in scored} == {"austin4", "austin5"}


def test_what_cannot_be_scored_is_refused(store, segmenter, tmp_path):
    _, scored = segmenter_tiles(store)
    with pytest.raises(DataError, match=r"16×16 px and the true one 15×16 px"):
        mask_scores(square(0, 0, 4), square(0, 0, 4)[:, :-1])
    with pytest.raises(DataError, match=r"no tile"):
        pooled_scores([])
    with pytest.raises(DataError, match=r"0 tiles to look at"):
        fidelity(segmenter, store, scored[:0], make_image)
    with pytest.raises(DataError, match=r"austin9 at row 0, column 0 is uint8 \(32, 32, 3\)"):
        fidelity(segmenter, store, scored, lambda mask: make_image(mask)[:32, :32])
    empty = tmp_path / "data"
    make_dataset(empty, [f"austin{number}" for number in range(1, 11)], SIZE)
    for path in (empty / "masks").iterdir():
        path.unlink()
    for number in range(1, 11):
        write_tiff(empty / "masks" / f"austin{number}.tif", np.zeros((SIZE, SIZE), np.uint8), make_grid(SIZE))
    without = prepare(empty, tmp_path / "tiles", size=SIZE, split="digits")
    with pytest.raises(DataError, match=r"none of the 3 tiles has a building"):
        fidelity(segmenter, without, np.concatenate([without.ids("val"), without.ids("test")]), make_image)
