"""Goldens of torch's AdamW alone and of transformers' learning-rate schedules.

    ~/venv-accrete/bin/python tools/goldens/make_optim.py

Writes tests/goldens/optim/{adamw.f32,adamw.f64}.safetensors, schedules.json, golden.json.
"""

from common import GOLDENS, Tensors, fresh_folder, save_tensors, write_json, write_record

import torch
import transformers

STEPS = 10
RATES = ["1e-8", "1e-3", "1e3"]
DECAYS = ["0", "0.01", "0.5"]
SHAPE = (7, 5)
# Beside weights of ordinary size, ones so small that a step of 1e-8 shows.
SIZES = {"ordinary": 1.0, "small": 1e-6}


def sequences() -> Tensors:
    """param.<size> (7, 5) and grad.<size> (10, 7, 5); gradients span 1e-10 to 1e2 and include exact zeros."""
    generator = torch.Generator().manual_seed(5)
    tensors: Tensors = {}
    for name, size in SIZES.items():
        tensors[f"param.{name}"] = size * torch.randn(SHAPE, generator=generator)
        magnitude = 10 ** (12 * torch.rand(SHAPE, generator=generator) - 10)
        grads = magnitude * torch.randn(STEPS, *SHAPE, generator=generator)
        grads[:, 0, 0] = 0  # a parameter that never gets a gradient
        grads[1:, 0, 1] = 0  # one that gets a single gradient
        grads[0, 0, 2] = 0  # one whose first gradient is zero: 0 / (0 + epsilon)
        tensors[f"grad.{name}"] = grads
    return tensors


def run(start: Tensors, rate: str, decay: str) -> Tensors:
    """Parameter and both moments after steps 1 and 10."""
    tensors: Tensors = {}
    for name in SIZES:
        parameter = torch.nn.Parameter(start[f"param.{name}"].clone())
        optimiser = torch.optim.AdamW([parameter], lr=float(rate), weight_decay=float(decay))
        for step in range(STEPS):
            parameter.grad = start[f"grad.{name}"][step].clone()
            optimiser.step()
            if step + 1 not in (1, STEPS):
                continue
            where = f"lr{rate}.decay{decay}.{name}.step{step + 1}"
            state = optimiser.state[parameter]
            tensors[f"{where}.param"] = parameter.detach().clone()
            tensors[f"{where}.firstMoment"] = state["exp_avg"].clone()
            tensors[f"{where}.secondMoment"] = state["exp_avg_sq"].clone()
    return tensors


def adamw(dtype: torch.dtype) -> Tensors:
    start = {name: tensor.to(dtype) for name, tensor in sequences().items()}
    tensors = dict(start)
    for rate in RATES:
        for decay in DECAYS:
            tensors |= run(start, rate, decay)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all() or tensor.abs().max() == 0:
            raise SystemExit(f"optim/{name} is zero or not finite")
    return tensors


def schedules() -> list[dict[str, object]]:
    """Factors on the learning rate at optimiser step 0, 1, ... as transformers' schedules give them."""
    rows = []
    for warmup, total in ((0, 10), (2, 10), (3, 7), (10, 10), (0, 1)):
        makers = {
            "linear": lambda o: transformers.get_linear_schedule_with_warmup(o, warmup, total),
            "cosine": lambda o: transformers.get_cosine_schedule_with_warmup(o, warmup, total),
            "constant": lambda o: transformers.get_constant_schedule_with_warmup(o, warmup),
        }
        for kind, make in makers.items():
            optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
            schedule = make(optimiser)
            factors = []
            for _ in range(total):
                factors.append(schedule.get_last_lr()[0])
                optimiser.step()
                schedule.step()
            rows.append({"kind": kind, "warmupSteps": warmup, "totalSteps": total, "factors": factors})
    return rows


def main() -> None:
    folder = fresh_folder(GOLDENS / "optim")
    save_tensors(folder / "adamw.f32.safetensors", adamw(torch.float32))
    save_tensors(folder / "adamw.f64.safetensors", adamw(torch.float64))
    write_json(folder / "schedules.json", schedules())
    write_record(
        folder / "golden.json",
        {
            "beta1": 0.9,
            "beta2": 0.999,
            "epsilon": 1e-8,
            "steps": STEPS,
            "learningRates": RATES,
            "weightDecays": DECAYS,
            "sizes": list(SIZES),
        },
    )


if __name__ == "__main__":
    main()
