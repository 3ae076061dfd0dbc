"""`trainer.optimizer` in Lightning and in accelerate themselves: one optimizer, one count, one checkpoint."""

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ExponentialLR
from torch.utils.data import DataLoader

import minimax as mm
from minimax.testing._compare import same
from tests.clients.gan import batch, loss_d, loss_g, networks
from tests.clients.loops import values

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs
STEPS, GAMMA = 6, 0.8


def data() -> DataLoader[Any]:
    return DataLoader([batch(k) for k in range(STEPS)], batch_size=None, shuffle=False)


def by_hand(modules: tuple[nn.Module, ...]) -> None:
    """Critic first, each by its own Adam, both rates falling."""
    optimizers = [torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.5, 0.999)) for module in modules]
    schedulers = [ExponentialLR(optimizer, GAMMA) for optimizer in optimizers]
    for k in range(STEPS):
        for i, loss in ((1, loss_d), (0, loss_g)):
            optimizers[i].zero_grad()
            loss(*modules, batch(k)).backward()
            optimizers[i].step()
        for scheduler in schedulers:
            scheduler.step()


def method() -> mm.GameOptimizer:
    return mm.AlternatingGDA(mm.adam(2e-3, betas=(0.5, 0.999)), order=(1, 0))


def equal(ours: Any, theirs: Any) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(values(one, True), values(other, True), rtol=1e-10, atol=1e-10)


@pytest.mark.timeout(400)  # the import alone takes seconds
def test_lightning_counts_one_step_a_game_and_resumes(tmp_path: Path, twins: Any) -> None:
    """Manual optimization on the CPU: `global_step` is the number of steps, its scheduler moves the rates, hooks run,
    and a run from its own checkpoint goes on bit for bit."""
    lightning = pytest.importorskip("lightning.pytorch", reason="needs lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Gan(lightning.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self, g: nn.Module, d: nn.Module) -> None:
            super().__init__()
            self.automatic_optimization, self.seen = False, 0
            self.g, self.d = g, d

        def configure_optimizers(self) -> Any:
            self.play = mm.bind(mm.Game(loss_g, loss_d), (self.g, self.d), method())
            return [self.play.optimizer], [ExponentialLR(self.play.optimizer, GAMMA)]

        def training_step(self, drawn: dict[str, Tensor], index: int) -> None:
            drawn = batch(self.global_step)  # whatever a resumed loader starts with
            self.optimizers().step(lambda: drawn)
            self.lr_schedulers().step()

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            self.seen += 1

    def fit(module: Any, steps: int, start: Path | None = None) -> Any:
        options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "barebones": False}
        trainer = lightning.Trainer(
            accelerator="cpu", max_steps=steps, enable_checkpointing=False, precision="64-true", **options
        )
        trainer.fit(module, data(), ckpt_path=start)
        return trainer

    hand, ours = twins(*networks())
    half, again = copy.deepcopy(ours), copy.deepcopy(ours)
    by_hand(hand)
    whole = Gan(*ours)
    trainer = fit(whole, STEPS)
    assert trainer.global_step == STEPS == whole.play.steps == whole.seen
    equal(ours, hand)
    rates = [group["lr"] for group in whole.play.optimizer.param_groups]
    assert rates == pytest.approx([2e-3 * GAMMA**STEPS] * 2, rel=1e-12)
    fit(Gan(*half), 3).save_checkpoint(tmp_path / "half.ckpt")
    resumed = Gan(*again)
    assert fit(resumed, STEPS, tmp_path / "half.ckpt").global_step == STEPS
    assert same(resumed.play.state_dict(), whole.play.state_dict())


def test_accelerate_prepares_steps_and_saves(tmp_path: Path, twins: Any) -> None:
    """`prepare` takes the optimizer, its scheduler and the loader; `save_state` and `load_state` what it has."""
    accelerate = pytest.importorskip("accelerate", reason="needs accelerate")
    hand, ours = twins(*networks())
    by_hand(hand)
    accelerator = accelerate.Accelerator(cpu=True)
    trainer = mm.bind(mm.Game(loss_g, loss_d), ours, method())
    schedule = ExponentialLR(trainer.optimizer, GAMMA)
    optimizer, schedule, loader = accelerator.prepare(trainer.optimizer, schedule, data())
    for k, drawn in enumerate(loader):
        optimizer.step(lambda drawn=drawn: drawn)
        schedule.step()
        if k == 2:
            accelerator.save_state(str(tmp_path))
    equal(ours, hand)
    after = trainer.state_dict()
    accelerator.load_state(str(tmp_path))
    assert trainer.steps == 3 and trainer.optimizer.param_groups[0]["lr"] == pytest.approx(2e-3 * GAMMA**3)
    for k in range(3, STEPS):
        optimizer.step(lambda k=k: batch(k))
        schedule.step()
    assert same(trainer.state_dict(), after)
