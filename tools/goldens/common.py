"""What the golden makers share: seeded weights, checked safetensors files, the record beside them.

Shapes: B rows, T tokens, D width, R rank, C classes.
"""

import inspect
import json
import math
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

# Goldens are made from what lies on the disk; nothing may be looked up.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy
import peft
import safetensors
import tokenizers
import torch
import transformers
from safetensors.torch import save_file

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDENS = REPOSITORY / "tests" / "goldens"

# Comparing by max|difference| <= 1e-4 * max|reference| says nothing about a reference near zero.
SMALLEST_REFERENCE = 1e-3
# Float32 must agree this well with float64, else the tests' 1e-4 would measure rounding.
LARGEST_ROUNDING = 2e-5

# The curves of torch.optim.AdamW.
STEPS = 10
WARMUP = 2
ADAPTER_RATE = 5e-2
HEAD_RATE = 1e-1
WEIGHT_DECAY = 0.01

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

Tensors = dict[str, torch.Tensor]


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "tokenizers": tokenizers.__version__,
        "safetensors": safetensors.__version__,
        "numpy": numpy.__version__,
    }


def fresh_folder(path: Path) -> Path:
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    return path


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_record(path: Path, scalars: dict[str, object]) -> None:
    """golden.json: which command and versions made the folder, and every scalar a reader needs."""
    command = "python " + Path(sys.argv[0]).resolve().relative_to(REPOSITORY).as_posix()
    write_json(path, {"command": command, "versions": versions(), **scalars})


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Draws every weight anew, larger than Hugging Face's 0.02, so that attention is peaked and gradients lively."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name.lower() or ".ln_" in name:
                parameter.copy_(1 + 0.2 * noise if name.endswith("weight") else 0.2 * noise)
            elif "embeddings" in name or "wte" in name or "wpe" in name or "embed" in name:
                parameter.copy_(0.8 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(0.8 / math.sqrt(parameter.shape[-1]) * noise)


def widened(value: object) -> object:
    return torch.float64 if value is torch.float32 else value


@contextmanager
def nothing_in_float32() -> Iterator[None]:
    """Rotary angles, RMSNorm and a few roots are computed in float32 by transformers whatever the model's type: not here."""
    to, single, tensor = torch.Tensor.to, torch.Tensor.float, torch.tensor

    def widely(call: Callable) -> Callable:
        return lambda *given, **named: call(*map(widened, given), **{k: widened(v) for k, v in named.items()})

    torch.Tensor.to, torch.Tensor.float, torch.tensor = widely(to), torch.Tensor.double, widely(tensor)
    try:
        yield
    finally:
        torch.Tensor.to, torch.Tensor.float, torch.tensor = to, single, tensor


Module = TypeVar("Module", bound=torch.nn.Module)


def in_float64(model: Module) -> Module:
    """The model with its weights and all that it computes in float64. Frequencies stay rounded, as a model has them."""
    model = model.double()
    forward = model.forward

    def wide_forward(*given: object, **named: object) -> object:
        with nothing_in_float32():
            return forward(*given, **named)

    # Callers look at what forward takes.
    wide_forward.__signature__ = inspect.signature(forward)
    model.forward = wide_forward
    return model


def check_sizes(where: str, tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        if not torch.isfinite(tensor).all():
            raise SystemExit(f"{where}: {name} is not finite")
        largest = tensor.abs().max().item()
        if largest <= SMALLEST_REFERENCE:
            raise SystemExit(f"{where}: {name} is at most {largest:.2e}; rescale the model")


def check_rounding(where: str, single: Tensors, double: Tensors) -> float:
    """Largest relative difference between the two precisions, over all tensors."""
    worst = 0.0
    for name, reference in double.items():
        if not reference.is_floating_point():
            continue
        if reference.dtype != torch.float64 or single[name].dtype != torch.float32:
            raise SystemExit(f"{where}: {name} is {single[name].dtype} and {reference.dtype}")
        difference = (single[name].double() - reference).abs().max() / reference.abs().max()
        worst = max(worst, difference.item())
        if difference > LARGEST_ROUNDING:
            raise SystemExit(f"{where}: {name} differs by {difference:.1e} between float32 and float64")
    return worst


def save_tensors(path: Path, tensors: Tensors) -> None:
    save_file({name: t.detach().contiguous().clone() for name, t in tensors.items()}, path, {"format": "pt"})
    path.chmod(0o644)


def save_both(folder: Path, name: str, single: Tensors, double: Tensors) -> None:
    """Writes <name>.f32.safetensors and <name>.f64.safetensors after checking size and rounding."""
    where = f"{folder.name}/{name}"
    check_sizes(where, double)
    check_sizes(where, single)
    worst = check_rounding(where, single, double)
    save_tensors(folder / f"{name}.f32.safetensors", single)
    save_tensors(folder / f"{name}.f64.safetensors", double)
    print(f"{where}: {len(double)} tensors, float32 within {worst:.1e} of float64")


def save_adapter(model: peft.PeftModel, folder: Path, name: str) -> None:
    """A real peft folder inside its base's, less the model card and this machine's path."""
    model.peft_config["default"].base_model_name_or_path = folder.name
    model.save_pretrained(folder / name, save_embedding_layers=False)
    (folder / name / "README.md").unlink(missing_ok=True)
    # peft writes its set of targets in hash order, which changes from run to run.
    path = folder / name / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def rate_factor(step: int) -> float:
    """Linear warm-up that moves at once (1/2, 1), then linear decay (1, 7/8, ... 1/8)."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    return (STEPS - step) / (STEPS - WARMUP)


def adamw_steps(
    parameters: dict[str, torch.nn.Parameter],
    loss_of: Callable[[], torch.Tensor],
    max_norm: float = float("inf"),
    adapter_rate: float = ADAPTER_RATE,
) -> Tensors:
    """Ten steps on a fixed batch, `head.*` at the head's rate: the start, losses and norms, and where steps 1 and 10 end."""
    head = [p for n, p in parameters.items() if n.startswith("head.")]
    adapter = [p for n, p in parameters.items() if not n.startswith("head.")]
    groups = [{"params": adapter, "lr": adapter_rate}, *([{"params": head, "lr": HEAD_RATE}] if head else [])]
    optimiser = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate_factor)
    tensors = {f"param.{n}": p.detach().clone() for n, p in parameters.items()}
    losses, norms = [], []
    for step in range(STEPS):
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(list(parameters.values()), max_norm).detach())
        losses.append(loss.detach())
        optimiser.step()
        schedule.step()
        if step + 1 in (1, STEPS):
            tensors |= {f"step{step + 1}.{n}": p.detach().clone() for n, p in parameters.items()}
    tensors["loss"] = torch.stack(losses)
    tensors["gradNorm"] = torch.stack(norms)
    tensors["factor"] = torch.tensor([rate_factor(s) for s in range(STEPS)], dtype=losses[0].dtype)
    return tensors


def adamw_scalars(adapter_rate: float = ADAPTER_RATE) -> dict[str, object]:
    return {
        "adapterLearningRate": adapter_rate,
        "headLearningRate": HEAD_RATE,
        "weightDecay": WEIGHT_DECAY,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "steps": STEPS,
        "warmupSteps": WARMUP,
    }
