"""Dropout on a CPU: as torch's in all that is promised of it, and the same again once its generator is restored."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.checkpoint import checkpoint

from trainer.training.dropout import CpuDropout, drop_fast_on_cpu


def kept_of(layer: torch.nn.Module, values: torch.Tensor) -> torch.Tensor:
    return layer(values) != 0.0


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.9])
def test_values_are_dropped_at_the_rate_and_the_mean_stays(rate: float) -> None:
    torch.manual_seed(1)
    values = torch.ones(1000, 1001)

    dropped = CpuDropout(rate)(values)

    assert (dropped == 0.0).double().mean().item() == pytest.approx(rate, abs=5 * (rate * (1 - rate) / 1.001e6) ** 0.5)
    assert dropped.unique().tolist() == [0.0, pytest.approx(1 / (1 - rate), rel=1e-4)]
    assert dropped.double().mean().item() == pytest.approx(1.0, abs=0.01)


def test_neighbours_are_independent_of_each_other_in_every_lane() -> None:
    torch.manual_seed(2)
    kept = kept_of(CpuDropout(0.5), torch.ones(4096, 256)).double() - 0.5

    for step in (1, 2, 3, 4, 256):
        flat = kept.flatten()
        assert abs((flat[:-step] * flat[step:]).mean().item()) < 5 * 0.25 / flat.numel() ** 0.5
    for lane in range(4):
        assert kept.flatten()[lane::4].mean().item() == pytest.approx(0.0, abs=0.005)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4,), (5,), (2, 3, 7)])
def test_any_shape_is_taken_and_the_gradient_is_of_what_was_kept(shape: tuple[int, ...]) -> None:
    torch.manual_seed(3)
    values = torch.randn(shape, requires_grad=True)

    dropped = CpuDropout(0.5)(values)
    dropped.sum().backward()  # type: ignore[no-untyped-call]

    assert dropped.shape == values.shape
    assert values.grad is not None
    assert torch.equal(values.grad * values, dropped)


def test_the_gradient_is_that_of_numbers() -> None:
    layer, values = CpuDropout(0.3), torch.randn(5, 7, dtype=torch.float64, requires_grad=True)

    def same(inputs: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(4)
        return layer(inputs)  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(same, (values,))


def test_a_restored_generator_brings_the_same_values_back() -> None:
    layer, values = CpuDropout(0.5), torch.ones(100)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second = kept_of(layer, values), kept_of(layer, values)

    torch.set_rng_state(state)

    assert not torch.equal(first, second)
    assert torch.equal(kept_of(layer, values), first)
    assert torch.equal(kept_of(layer, values), second)


def test_a_block_that_is_recomputed_drops_the_same() -> None:
    layer, values = CpuDropout(0.5), torch.randn(64, requires_grad=True)
    torch.manual_seed(6)

    dropped = checkpoint(layer, values, use_reentrant=False)
    dropped.sum().backward()

    assert values.grad is not None
    assert torch.equal(values.grad * values, dropped)


def test_nothing_is_dropped_in_eval_mode_and_all_of_it_at_one() -> None:
    values = torch.randn(100, requires_grad=True)

    assert CpuDropout(0.5).eval()(values) is values
    assert CpuDropout(0.0)(values) is values
    everything = CpuDropout(1.0)(values)
    everything.sum().backward()  # type: ignore[no-untyped-call]
    assert not everything.any()
    assert values.grad is not None
    assert not values.grad.any()


def test_the_layers_of_an_adapter_get_it_and_no_other_dropout_of_the_model_does() -> None:
    base = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.2))
    model = get_peft_model(base, LoraConfig(target_modules=["0"], lora_dropout=0.25))  # type: ignore[arg-type]

    drop_fast_on_cpu(model)

    found = {type(module).__name__: module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert found == {"CpuDropout": 0.25, "Dropout": 0.2}


def test_a_byte_is_kept_for_each_value() -> None:
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, keep):
        CpuDropout(0.5)(torch.randn(1000, requires_grad=True))

    assert [(tensor.dtype, tensor.numel()) for tensor in kept] == [(torch.bool, 1000)]
