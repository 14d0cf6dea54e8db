"""How real a set of images looks: distances between two sets in a network's eyes, each beside the real-against-real floor."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from orthoforge.measures import spectra
from orthoforge.measures.realism.distances import (
    SPREAD_AXES,
    Gaussian,
    Manifolds,
    Moments,
    frechet_distance,
    frechet_interval,
    kernel_distance,
    kernel_interval,
    manifolds,
    mean_interval,
    resample,
)
from orthoforge.measures.realism.figures import (
    FIGURES,
    Checkerboard,
    FigureName,
    Figures,
    Floor,
    Halves,
    OfSpectra,
    Realism,
    Resampled,
    Spectrum,
    Spread,
    figures_of,
    measured,
    unmeasured,
)
from orthoforge.measures.realism.verdict import LEAST_IMAGES, spread, verdict

# Below it a Fréchet distance is mostly the bias of its own covariances.
RELIABLE_IMAGES = 2000
# Vectors of so many images are kept, 5 kB each; of more a random choice. Only the Fréchet distance itself needs no vectors.
KEPT_VECTORS = 10_000
# Spectra are means over so many images, spread over the set.
SPECTRUM_IMAGES = 128
# Two of the surroundings that the checkerboard's peaks are compared with must fit into the spectrum between them.
CHECKERBOARD_LEAST_PX = 40
_SPLITS_FEW, _SPLITS_MANY, _MANY = 20, 5, 250
LEAST_SET, LEAST_FLOOR = 2, 4
KERNEL_UNIT = 1000


@dataclass
class Vectors:
    """What is kept of a set of images: vectors of at most ``KEPT_VECTORS``, moments of all, and spectra of some."""

    scenes: Sequence[str]
    channels: int
    seed: int = 0
    moments: Moments = field(init=False)
    kept: list[int] = field(init=False, default_factory=list)
    spectrum_scenes: list[str] = field(init=False, default_factory=list)
    _rows: list[np.ndarray] = field(init=False, default_factory=list)
    _power: list[Tensor] = field(init=False, default_factory=list)
    _checkers: list[Tensor] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        count = len(self.scenes)
        rng = np.random.default_rng(self.seed)
        chosen = rng.choice(count, KEPT_VECTORS, replace=False) if count > KEPT_VECTORS else np.arange(count)
        self._chosen = set(chosen.tolist())
        self._in_spectrum = set(np.linspace(0, count - 1, min(count, SPECTRUM_IMAGES)).round().astype(int).tolist())
        self.moments = Moments(self.channels)

    def add(self, numbers: Sequence[int], vectors: Tensor, images: Tensor) -> None:
        """Take in the images (N, 3, H, W) in [-1, 1] with these numbers in the set, and their vectors (N, C)."""
        self.take(numbers, self.see(numbers, vectors, images))

    def see(self, numbers: Sequence[int], vectors: Tensor, images: Tensor) -> "Seen":
        """What ``take`` keeps of some images; changes nothing, so that several threads may look at once."""
        rows = vectors.float().cpu().numpy()
        assert np.isfinite(rows).all(), "a network gave NaN"
        wanted = [place for place, number in enumerate(numbers) if number in self._in_spectrum]
        return Seen(rows, *_spectra(images[wanted])) if wanted else Seen(rows, None, None)

    def take(self, numbers: Sequence[int], seen: "Seen") -> None:
        """Keep what was seen of the images with these numbers."""
        self.moments.add(seen.rows)
        for number, row in zip(numbers, seen.rows, strict=True):
            if number in self._chosen:
                self.kept.append(number)
                self._rows.append(row.copy())  # not a view, which would hold the others too
        if seen.decibels is not None:
            self.spectrum_scenes += [self.scenes[number] for number in numbers if number in self._in_spectrum]
            self._power.append(seen.decibels)
        if seen.checkerboards is not None:
            self._checkers.append(seen.checkerboards)

    @property
    def array(self) -> np.ndarray:
        """(N, C) float32 of the kept ones, in the order of ``kept``."""
        return np.stack(self._rows) if self._rows else np.empty((0, self.channels), np.float32)

    @property
    def kept_scenes(self) -> list[str]:
        """The scenes of the kept ones."""
        return [self.scenes[number] for number in self.kept]

    def gaussian(self) -> Gaussian:
        """The normal distribution fitted to all of them; through the vectors themselves where that is less work."""
        if len(self.kept) == self.moments.n <= self.channels:
            return Gaussian.fitted(self.array)
        return Gaussian.of(self.moments.mean, self.moments.covariance())

    @property
    def decibels(self) -> np.ndarray:
        """Mean power of rings of the spectrum, in dB (images, rings)."""
        return torch.cat(self._power).numpy()

    @property
    def checkerboards(self) -> np.ndarray:
        """``spectra.checkerboard`` of some images; empty where they are too small for it."""
        return torch.cat(self._checkers).numpy() if self._checkers else np.empty(0)


@dataclass(frozen=True)
class Seen:
    """Vectors (N, C) of some images; mean power by ring, in dB, and checkerboards of those among them that the spectrum is of."""

    rows: np.ndarray
    decibels: Tensor | None
    checkerboards: Tensor | None


def _spectra(images: Tensor) -> tuple[Tensor, Tensor | None]:
    """Mean power by ring (N, rings) in dB, and checkerboards (N,) where the images are large enough."""
    images = images.float().cpu()
    power = spectra.power_spectrum(images)
    # Rounding to bytes alone gives that much power; less is no difference that a file could show.
    decibels = 10 * torch.log10(spectra.radial_power(power)[1] + spectra.ROUNDING_POWER)
    height, width = (side - side % spectra.PERIOD_PX for side in images.shape[2:])
    if min(height, width) < CHECKERBOARD_LEAST_PX:
        return decibels, None
    if (height, width) != tuple(images.shape[2:]):
        power = spectra.power_spectrum(images[:, :, :height, :width])
    return decibels, spectra.checkerboard_power(power)


def realism(fake: Vectors, real: Vectors, *, paired: bool, seed: int = 0) -> Realism:
    """Every figure of ``FIGURES`` with interval, floor and the numbers of images, a verdict, and the two of the spectrum.

    ``paired`` says that both sets show the same masks in the same order.

    ``floor`` is the same figure of two disjoint halves of the real images, which share no scene where there are several.
    ``matched`` is that of generated images in place of one of the halves: as many, of the same masks where ``paired``. It is what
    compares with the floor, since the Fréchet distance grows as images get fewer. A figure that there are too few images for is
    ``None``, and ``why`` says so.
    """
    by_scene = len(set(real.kept_scenes)) > 1
    x, y = fake.array, real.array
    counts = fake.moments.n, real.moments.n
    if min(counts) < LEAST_SET:
        why = f"needs {LEAST_SET} images of each kind; there are {counts[0]} generated and {counts[1]} real"
        nothing = figures_of({name: unmeasured(why, counts) for name in FIGURES})
        return {**nothing, "verdict": verdict(nothing["kernel_x1000"], 0.0), **_spectrum(fake, real, seed=seed)}
    groups = (fake.kept_scenes, real.kept_scenes) if by_scene else (list(map(str, fake.kept)), list(map(str, real.kept)))
    drawn = resample(*groups, together=paired, seed=seed)
    distance = frechet_distance(fake.gaussian(), real.gaussian())
    values: dict[FigureName, tuple[float, tuple[float, float] | None]] = {
        "frechet": (distance, frechet_interval(x, y, drawn, around=distance) if drawn else None),
        "kernel_x1000": (
            KERNEL_UNIT * kernel_distance(x, y),
            _scaled(kernel_interval(x, y, drawn)) if drawn else None,
        ),
    }
    if min(len(x), len(y)) >= LEAST_IMAGES:
        near = manifolds(x, y)
        for name, scores, draws in _by_image(near, None if drawn is None else (drawn.x, drawn.y)):
            values[name] = float(scores.mean()), None if draws is None else mean_interval(scores, draws)
    floors, halves = _floors(x, y, real.kept_scenes, by_scene=by_scene, paired=paired, seed=seed)
    why = f"needs {LEAST_IMAGES} images of each kind; there are {len(x)} generated and {len(y)} real"
    found = figures_of(
        {name: measured(*values[name], counts, floors[name]) if name in values else unmeasured(why, counts) for name in FIGURES}
    )
    method: Resampled = {
        "resampled": ("scenes" if by_scene else "images") if drawn else None, "rounds": len(drawn.x) if drawn else 0,
        "frechet_axes": min(SPREAD_AXES, fake.channels),
    }  # fmt: skip
    said = verdict(found["kernel_x1000"], KERNEL_UNIT * spread(y))
    return {**found, "verdict": said, "interval": method, "halves": halves, **_spectrum(fake, real, seed=seed)}


def is_reliable(result: Figures) -> bool:
    """Whether there were images enough for a Fréchet distance that compares with other people's."""
    return min(result["frechet"]["n_generated"], result["frechet"]["n_real"]) >= RELIABLE_IMAGES


def split_halves(scenes: Sequence[str], rng: np.random.Generator, *, by_scene: bool) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the images in two halves. By scene, each goes whole to the smaller half, in random order."""
    if not by_scene:
        order = rng.permutation(len(scenes))
        return order[: len(order) // 2], order[len(order) // 2 :]
    names, of_image = np.unique(list(scenes), return_inverse=True)
    halves: tuple[list[int], list[int]] = ([], [])
    for scene in rng.permutation(len(names)):
        halves[len(halves[0]) > len(halves[1])].extend(np.flatnonzero(of_image == scene).tolist())
    return np.array(halves[0]), np.array(halves[1])


def _floors(
    x: np.ndarray,
    y: np.ndarray,
    y_scenes: Sequence[str],
    *,
    by_scene: bool,
    paired: bool,
    seed: int,
) -> tuple[dict[FigureName, Floor], Halves]:
    """``floor`` and ``matched`` of every figure, and how the halves were made."""
    nothing = {name: Floor(None, None) for name in FIGURES}
    if len(y) < LEAST_FLOOR:
        return nothing, {"why": f"needs {LEAST_FLOOR} real images; there are {len(y)}"}
    rng = np.random.default_rng(seed)
    splits = _SPLITS_FEW if len(y) <= 2 * _MANY else _SPLITS_MANY
    floors: dict[FigureName, list[float]] = {name: [] for name in FIGURES}
    matched: dict[FigureName, list[float]] = {name: [] for name in FIGURES}
    sizes = []
    for _ in range(splits):
        one, other = split_halves(y_scenes, rng, by_scene=by_scene)
        if min(len(one), len(other)) < LEAST_SET:
            continue
        sizes.append((len(one), len(other)))
        fakes = other if paired else rng.choice(len(x), min(len(x), len(other)), replace=False)
        for into, vectors in ((floors, y[other]), (matched, x[fakes])):
            if len(vectors) >= LEAST_SET:
                for name, value in _figures(vectors, y[one]).items():
                    into[name].append(value)
    if not sizes:
        return nothing, {"why": "the real images of all but one scene are fewer than 2"}
    described: Halves = {
        "splits": len(sizes),
        "by": "scene" if by_scene else "image",
        "n": [round(float(n), 1) for n in np.mean(sizes, axis=0)],
    }
    return {name: Floor(_spread(floors[name]), _spread(matched[name])) for name in FIGURES}, described


def _figures(x: np.ndarray, y: np.ndarray) -> dict[FigureName, float]:
    values: dict[FigureName, float] = {
        "frechet": frechet_distance(Gaussian.fitted(x), Gaussian.fitted(y)),
        "kernel_x1000": KERNEL_UNIT * kernel_distance(x, y),
    }
    if min(len(x), len(y)) > LEAST_IMAGES // 3:
        values |= {name: float(scores.mean()) for name, scores, _ in _by_image(manifolds(x, y), None)}
    return values


def _by_image(
    near: Manifolds, draws: tuple[np.ndarray, np.ndarray] | None
) -> list[tuple[FigureName, np.ndarray, np.ndarray | None]]:
    """Name, scores of the images that it is a mean over, and their draws."""
    of_fakes, of_reals = draws or (None, None)
    return [
        ("precision", near.precise, of_fakes),
        ("recall", near.recalled, of_reals),
        ("density", near.density, of_fakes),
        ("coverage", near.covered, of_reals),
    ]


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    return {"mean": float(np.mean(values)), "standard_deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def _scaled(interval: tuple[float, float]) -> tuple[float, float]:
    return KERNEL_UNIT * interval[0], KERNEL_UNIT * interval[1]


def _spectrum(fake: Vectors, real: Vectors, *, seed: int) -> OfSpectra:
    """Root mean square difference of mean power over the rings, in dB, and how far a checkerboard stands out."""
    powers = fake.decibels, real.decibels
    difference = powers[0].mean(axis=0) - powers[1].mean(axis=0)
    apart: Spectrum = {
        "value": _root_mean_square(difference),
        "floor": _spectrum_floor(real, seed),
        "by_frequency": [float(part.mean()) for part in np.array_split(difference, 4) if len(part)],
        "n_generated": len(powers[0]),
        "n_real": len(powers[1]),
    }
    boards = fake.checkerboards, real.checkerboards
    sizes = len(boards[0]), len(boards[1])
    board: Checkerboard
    if min(sizes):
        middles = float(np.median(boards[0])), float(np.median(boards[1]))
        board = {"value": middles[0], "real": middles[1], "n_generated": sizes[0], "n_real": sizes[1]}
    else:
        why = f"needs sides of {CHECKERBOARD_LEAST_PX} px"
        board = {"value": None, "real": None, "why": why, "n_generated": sizes[0], "n_real": sizes[1]}
    return {"spectrum_db": apart, "checkerboard": board}


def _spectrum_floor(real: Vectors, seed: int) -> float | None:
    """The same distance of two halves of the real images, mean over several ways to halve them."""
    power, scenes = real.decibels, real.spectrum_scenes
    if len(power) < LEAST_FLOOR:
        return None
    rng = np.random.default_rng(seed)
    halves = [split_halves(scenes, rng, by_scene=len(set(scenes)) > 1) for _ in range(_SPLITS_FEW)]
    return float(np.mean([_root_mean_square(power[one].mean(axis=0) - power[other].mean(axis=0)) for one, other in halves]))


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))
