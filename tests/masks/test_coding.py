import numpy as np
import pytest
from PIL import Image

from conftest import make_grid, write_tiff
from orthoforge.errors import ConfigError, DataError
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.masks.classes import Classes
from orthoforge.masks.coding import Coding
from orthoforge.masks.reader import Unfit, own_reader, palette_of, reader_of

CODES = Classes(("building", "clutter", "Road"), ((), (), ()), ((0,), (40,), (80,)))
INDICES = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)


@pytest.fixture
def coded(tmp_path):
    """A mask of grey codes 0, 40 and 80."""
    return write_tiff(tmp_path / "coded.tif", INDICES * 40, make_grid((2, 3)))


def test_grey_codes_are_classes_by_their_values(coded):
    assert own_reader(CODES).labels(coded).tolist() == INDICES.tolist()


def test_one_or_several_classes_are_building(coded):
    assert reader_of(None, palette=CODES).labels(coded).tolist() == [[255, 0, 0], [0, 0, 0]]
    several = own_reader(CODES, building=("ROAD", "building"))
    assert several.labels(coded).tolist() == [[255, 0, 255], [255, 255, 0]]
    with several.open(coded) as mask:
        unfit = Unfit()
        assert mask.building(None, unfit).tolist() == [[255, 0, 255], [255, 255, 0]]
        assert not unfit.codes and not unfit.counts.any()
        mask.require_sound()
        assert mask.as_stored()[0].tolist() == [[255, 0, 255], [255, 255, 0]]


def test_values_are_building_without_a_palette(coded):
    assert own_reader(None, building=("40", "80")).labels(coded).tolist() == [[0, 255, 255], [255, 255, 255]]


def test_a_palette_png_is_read_by_its_numbers(tmp_path):
    image = Image.new("P", (3, 2))
    image.putdata(INDICES.ravel().tolist())
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    image.save(tmp_path / "p.png")
    numbers = Classes(("a", "b", "c"), ((), (), ()), ((0,), (1,), (2,)))
    assert own_reader(numbers).labels(tmp_path / "p.png").tolist() == INDICES.tolist()


def test_three_equal_bands_are_one_where_the_palette_has_values_alone(tmp_path):
    path = write_tiff(tmp_path / "rgb.tif", np.repeat(INDICES[..., None] * 40, 3, axis=2))
    assert own_reader(CODES).labels(path).tolist() == INDICES.tolist()


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_no_class(tmp_path, mode):
    grey = INDICES * 40
    bands = [grey] * (len(mode) - 1)
    Image.fromarray(np.dstack([*bands, np.full_like(grey, 200)]), mode).save(tmp_path / "a.png")
    assert own_reader(CODES).labels(tmp_path / "a.png").tolist() == INDICES.tolist()
    by_colour = Classes(CODES.names, tuple(((value,) * 3,) for value in (0, 40, 80)))
    if mode == "RGBA":
        assert own_reader(by_colour).labels(tmp_path / "a.png").tolist() == INDICES.tolist()


def test_numbers_with_a_palette_of_colours_say_what_is_missing(coded):
    with pytest.raises(DataError, match=r'with --palette FILE, a JSON file such as \{"Building": 1\}'):
        own_reader(Classes(("a",), (((1, 2, 3),),))).labels(coded)


def test_classes_of_a_file_become_those_of_a_run_by_name(coded):
    run = Classes(("road", "CLUTTER", "Building", "water"), (((1, 1, 1),), ((2, 2, 2),), ((3, 3, 3),), ((4, 4, 4),)))
    reader = reader_of(run, palette=CODES)
    assert reader.labels(coded).tolist() == [[2, 1, 0], [0, 0, 1]]
    assert reader.building_share(coded, None) == pytest.approx(1 / 6)
    copy, valid = reader.read(coded)
    assert valid is None
    assert copy.tolist() == run.rgb(reader.labels(coded)).tolist()  # coded as the run's
    assert reader.copies.coding is None
    assert reader_of(run, palette=run).coding is None
    with pytest.raises(ConfigError, match="does not know 'clutter', which the palette names; it was trained on building, Road"):
        reader_of(Classes(("building", "Road"), ((), ()), ((0,), (1,))), palette=CODES)


def test_a_run_of_classes_with_values_gets_copies_of_values(coded):
    run = Classes(("clutter", "building", "road"), ((), (), ()), ((7,), (8,), (9,)))
    assert reader_of(run, palette=CODES).read(coded)[0].tolist() == [[8, 7, 9], [9, 9, 7]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"palette": CODES, "building": ("bilding",)}, "no class of the palette is called so. Did you mean 'building'"),
        ({"building": ("Building",)}, "--building Building: is no value of a mask"),
        ({"building": ("256",)}, "is no value of a mask"),
        ({"palette": CODES, "threshold": 3}, "Pass one kind"),
        ({"palette": Classes(("a", "b"), ((), ()), ((0,), (1,)))}, "which class is building"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        reader_of(None, **options)


def test_a_run_of_classes_takes_no_building():
    with pytest.raises(ConfigError, match="trained on classes"):
        reader_of(CODES, building=("building",))


def test_annotations_of_one_kind_are_building_and_take_no_palette(tmp_path):
    annotated = Classes(("background", "house"), ((), ()), ((0,), (1,)))
    assert palette_of(None, annotated, ()) == (annotated, ("house",))
    with pytest.raises(ConfigError, match="annotations name their classes themselves"):
        palette_of(tmp_path / "p.json", annotated, ())


def test_values_that_no_class_has_are_named(coded):
    with pytest.raises(DataError, match=r"values that are not in the palette: 80 in 50\.0 %, 40 in 33\.3 %"):
        own_reader(Classes(("a",), ((),), ((0,),))).labels(coded)


def test_masks_that_mean_other_things_have_other_identities_and_codings_come_back(coded):
    readers = [own_reader(CODES), own_reader(CODES, building=("Road",)), own_reader(CODES, building=("clutter",))]
    identities = set()
    for reader in readers:
        with reader.open(coded) as mask:
            identities.add(mask.identity)
    assert len(identities) == 3
    assert Coding.of_plain(readers[1].coding.plain()) == readers[1].coding
    assert Coding.of_plain(None) is None


def test_the_pixels_of_a_mask_without_coordinates_are_as_long_as_stated(tmp_path):
    path = write_tiff(tmp_path / "a_1.tif", np.zeros((4, 4), np.uint8))
    reader = reader_of(None, pixel_sizes=PixelSizes((("a_*", 0.2),)))
    assert reader.grid(path).gsd_m() == pytest.approx(0.2)
    with reader.open(path) as mask:
        assert mask.grid.gsd_m() == pytest.approx(0.2)
