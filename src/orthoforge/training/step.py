"""One step of both networks."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial, reduce

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm, parametrize

from orthoforge.errors import DivergedError
from orthoforge.models.conditions import class_maps
from orthoforge.models.losses import GAN_LOSSES, GanLoss, colour_l1, gradient_penalty, l1, oasis, over_scales
from orthoforge.models.noise import draw
from orthoforge.models.perceptual import feature_l1
from orthoforge.tiles.store import Batch
from orthoforge.training.accumulation import Part, Shown, computed, exchange_gradients, parts_of, unmoved
from orthoforge.training.batches import buildings_on, canvas_tensor, to_tensors
from orthoforge.training.hardware import mean_over_processes
from orthoforge.training.state import STEP, Steps
from orthoforge.training.training import Training
from orthoforge.training.unread import UnreadStep

_UNCHANGED = 4  # with ``lambda_identity`` one image of so many has its real one for a canvas
GRADIENT_PENALTY_WEIGHT = 10.0  # Gulrajani et al. 2017, for all their experiments
_Make = Callable[[Part], "_Images"]


@dataclass(frozen=True)
class _Images:
    """What was generated of a part of the batch; images are (N, B, H, W)."""

    shown: Shown
    fake: Tensor
    features: tuple[list[Tensor], list[Tensor]] | None
    """Of the fakes and of the real ones, where the discriminator judges by these."""

    @property
    def judged(self) -> tuple[Tensor, Tensor] | tuple[list[Tensor], list[Tensor]]:
        """What the discriminator is shown: the fakes that are to be taken for real, and as many real ones."""
        unchanged = self.shown.unchanged
        if self.features is None:
            return self.fake[unchanged:], self.shown.real[unchanged:]
        fake, real = ([layer[unchanged:] for layer in layers] for layers in self.features)
        return fake, real


def train_step(training: Training, batch: Batch) -> None:
    """One step of both networks (Isola et al. 2017, section 3.3).

    A generator with styles makes half of the images in the style of their own real ones and with the colours of their roofs and
    ground, and is compared with them; the others in the styles of the first half, where the discriminator alone judges.

    Nothing in it waits for what a GPU computes: losses, and which updates were skipped, are left ``unread`` in the state.
    """
    state, skipped = training.state, dict[str, Tensor]()
    state.seed_torch(STEP, training.fabric.global_rank)
    state.set_learning_rates()
    parts = parts_of(_shown(training, batch), training.recipe.accumulate)
    make: _Make = partial(_make_images, training)
    if len(parts) == 1:
        make = cache(make)  # once for both networks
    losses = {} if state.train_discriminator is None else _update_discriminator(training, parts, make, skipped)
    losses |= _update_generator(training, parts, make, skipped)
    state.average()
    values = torch.stack([value.detach().float() for value in (*losses.values(), *skipped.values())])
    state.count_step(UnreadStep(state.progress.step + 1, batch.tile_ids, tuple(losses), tuple(skipped), values))


def read_figures(training: Training) -> dict[str, float]:
    """Read what the steps since the last reading left, and count it; returns the losses of the last one.

    The mean over all processes: what follows from losses, such as a plateau's rate or a rollback, must be the same in each.
    Raises ``DivergedError`` naming the first step's losses that are NaN or Inf, and the tiles of its batch.
    """
    state, progress = training.state, training.progress
    steps, losses = state.unread, dict[str, float]()
    if not steps:
        return losses
    state.unread = []
    values = iter(mean_over_processes(training.fabric, torch.cat([step.values for step in steps])).tolist())
    for step in steps:
        losses = dict(zip(step.losses, values, strict=False))
        _require_finite(training, step, losses)
        for name, value in losses.items():
            progress.sums[name] = progress.sums.get(name, 0.0) + value
        for name, was_skipped in zip(step.networks, values, strict=False):
            if was_skipped:
                progress.skipped += 1
            else:
                progress.updates[name] = progress.updates.get(name, 0) + 1
    return losses


def _shown(training: Training, batch: Batch) -> Shown:
    """What both networks are shown of a batch."""
    recipe, state, device = training.recipe, training.state, training.fabric.device
    condition, real = to_tensors(batch, training.store, device)
    unchanged = len(real) // _UNCHANGED if recipe.lambda_identity else 0
    canvas = canvas_tensor(batch, device, real=unchanged)
    colours = state.generator.colours
    # Of the masks as they lie on the host: on a GPU they would have to be waited for.
    buildings = None if colours is None or canvas is not None else buildings_on(colours, batch, training.store, device)
    own, told = state.generator.shown(condition, real, canvas, buildings)
    return Shown(condition, real, told, own, unchanged, None if canvas is None else torch.tanh(canvas))


def _make_images(training: Training, part: Part) -> _Images:
    """A generated image for each mask of a part of the batch."""
    state, shown = training.state, part.shown
    fake = state.train_generator(shown.condition, **shown.told)
    judged_by_features = state.train_discriminator is not None and training.recipe.discriminator == "projected"
    return _Images(shown, fake, _features(training, fake, shown.real) if judged_by_features else None)


def _update_discriminator(training: Training, parts: list[Part], make: _Make, skipped: dict[str, Tensor]) -> dict[str, Tensor]:
    """Teach the discriminator to tell real images from fakes; returns its losses, and notes whether it was ``skipped``."""
    state, fabric = training.state, training.fabric
    assert state.train_discriminator is not None and state.step_d is not None
    losses = dict[str, Tensor]()
    state.step_d.zero_grad()
    for part in parts:
        with computed(fabric, part, state.train_generator, state.train_discriminator):
            with torch.set_grad_enabled(part.is_all), unmoved(state.generator, when=not part.is_all):
                images = make(part)
            if terms := _discriminator_terms(training, part, images):
                loss = reduce(torch.add, terms.values())
                fabric.backward(loss)
                _add(losses, {f"loss_d_{name}": term for name, term in terms.items() if name != "gan"} | {"loss_d": loss})
    skipped["discriminator"] = _step_if_finite(training, state.train_discriminator, state.step_d, parts)
    return losses


def _discriminator_terms(training: Training, part: Part, images: _Images) -> dict[str, Tensor]:
    """The terms of the discriminator's loss that a part of the batch has, each as it weighs in the batch."""
    state, shown = training.state, part.shown
    assert state.train_discriminator is not None and state.discriminator is not None
    terms: dict[str, Tensor] = {}
    if of_judged := part.weight("judged"):
        condition = shown.condition[shown.unchanged :]
        fake, real = images.judged
        fake = [layer.detach() for layer in fake] if isinstance(fake, list) else fake.detach()
        with unmoved(state.discriminator, when=not part.is_first_judged), parametrize.cached():  # spectral norms: once for both
            judged = state.train_discriminator(condition, real), state.train_discriminator(condition, fake)
        terms["gan"] = of_judged * over_scales(_game(training, part).discriminator, *judged)
    if training.recipe.gan_loss == "wgan-gp":
        # The plain network: run by Fabric it would compute in bf16 again, too coarse for a gradient's gradient.
        mix = draw(torch.rand, torch.Size((len(shown), 1, 1, 1)), shown.real.device)
        penalty = gradient_penalty(partial(state.discriminator, shown.condition), shown.real, images.fake, mix)
        terms["penalty"] = GRADIENT_PENALTY_WEIGHT * part.weight("all") * penalty
    return terms


def _update_generator(training: Training, parts: list[Part], make: _Make, skipped: dict[str, Tensor]) -> dict[str, Tensor]:
    """Teach the generator to be taken for real, and to come close to what it is compared with; returns as the other does."""
    state, fabric = training.state, training.fabric
    losses = dict[str, Tensor]()
    state.step_g.zero_grad()
    for part in parts:
        with computed(fabric, part, state.train_generator, state.train_discriminator):
            terms = _generator_terms(training, part, make(part))
            if terms:
                loss = reduce(torch.add, terms.values())
                fabric.backward(loss)
                _add(losses, {"loss_g": loss} | {f"loss_g_{name}": term for name, term in terms.items()})
    skipped["generator"] = _step_if_finite(training, state.train_generator, state.step_g, parts)
    return losses


def _generator_terms(training: Training, part: Part, images: _Images) -> dict[str, Tensor]:
    """The terms of the generator's loss that a part of the batch has, each as it weighs in the batch."""
    recipe, state, shown, fake = training.recipe, training.state, part.shown, images.fake
    own, unchanged = shown.own, shown.unchanged
    of_own, of_unchanged, of_judged = (part.weight(kind) for kind in ("own", "unchanged", "judged"))
    terms: dict[str, Tensor] = {}
    if state.train_discriminator is not None and of_judged:
        assert state.discriminator is not None
        with unmoved(state.discriminator, when=not part.is_first_judged), _untaught(training):
            logits = state.train_discriminator(shown.condition[unchanged:], images.judged[0])
        terms["gan"] = of_judged * over_scales(_game(training, part).generator, logits)
    if of_unchanged:
        terms["identity"] = recipe.lambda_identity * of_unchanged * l1(fake[:unchanged], shown.real[:unchanged])
    if recipe.lambda_l1 and of_own:
        terms["l1"] = recipe.lambda_l1 * of_own * l1(fake[:own], shown.real[:own])
    if recipe.lambda_colour and of_own:
        terms["colour"] = recipe.lambda_colour * of_own * colour_l1(fake[:own], shown.real[:own])
    if recipe.lambda_perceptual and of_own:
        # Those that the discriminator saw, or made only now, when its own graph is gone.
        features = images.features or _features(training, fake, shown.real)
        compared = ([layer[:own] for layer in layers] for layers in features)
        terms["perceptual"] = recipe.lambda_perceptual * of_own * feature_l1(*compared)
    if shown.canvas is not None:
        terms |= {name: part.weight("all") * term for name, term in _canvas_terms(training, images, shown.canvas).items()}
    return terms


@contextmanager
def _untaught(training: Training) -> Iterator[None]:
    """Within, the discriminator passes on gradients to what it is shown, and collects none for itself."""
    network, run = training.state.discriminator, training.state.train_discriminator
    assert network is not None and run is not None
    network.requires_grad_(False)
    try:
        # Several processes would wait for gradients that do not come.
        with training.fabric.no_backward_sync(run):  # type: ignore[arg-type]  # Fabric runs it
            yield
    finally:
        network.requires_grad_(True)


def _canvas_terms(training: Training, images: _Images, canvas: Tensor) -> dict[str, Tensor]:
    """What ties images to the canvases that they refine: colours of cells, and features."""
    recipe, features = training.recipe, training.state.features
    terms: dict[str, Tensor] = {}
    if recipe.lambda_canvas:
        terms["canvas"] = recipe.lambda_canvas * colour_l1(images.fake, canvas)
    if recipe.lambda_canvas_features:
        assert features is not None
        with training.fabric.autocast():
            with torch.no_grad():
                wanted = features(canvas)
            made = features(images.fake) if images.features is None else images.features[0]
        terms["canvas_features"] = recipe.lambda_canvas_features * feature_l1(made, wanted)
    return terms


def _add(losses: dict[str, Tensor], of_part: dict[str, Tensor]) -> None:
    for name, loss in of_part.items():
        losses[name] = losses[name] + loss.detach() if name in losses else loss.detach()


def _features(training: Training, fake: Tensor, real: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What the perceptual loss's network sees in both; no gradient flows to ``real``."""
    features = training.state.features
    assert features is not None
    with training.fabric.autocast():
        with torch.no_grad():
            wanted = features(real)
        return features(fake), wanted


def _game(training: Training, part: Part) -> GanLoss:
    """Both sides of the recipe's adversarial loss, of the images of a part of the batch that are judged."""
    name, class_count = training.recipe.gan_loss, training.store.class_count
    if name != "oasis":
        return GAN_LOSSES[name]
    of_part, of_batch = (class_maps(shown.condition[shown.unchanged :], class_count) for shown in (part.shown, part.whole))
    return oasis(of_part, None if part.is_all else of_batch)  # classes weigh by what they cover of all of it


def _step_if_finite(training: Training, network: nn.Module, optimizer: Steps, parts: list[Part]) -> Tensor:
    """Take the optimizer's step, or skip it where gradients overflowed, as instance norm's do on empty masks; whether it did."""
    if len(parts) > 1:
        exchange_gradients(training.fabric, network)
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    skipped = ~torch.isfinite(get_total_norm(gradients))
    optimizer.step_unless(skipped)
    return skipped


def _require_finite(training: Training, step: UnreadStep, losses: dict[str, float]) -> None:
    if not all(map(math.isfinite, losses.values())):
        named = ", ".join(f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value))
        tiles = ", ".join(training.store.describe(tile_id) for tile_id in step.tile_ids[:4])
        more = " …" * (len(step.tile_ids) > 4)
        raise DivergedError(f"{named} at step {step.step}, on tiles {tiles}{more}.")
