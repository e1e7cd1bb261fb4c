"""The sentence-transformers side of `bench/encode.ts`: texts of a file to unit vectors, in its own batches of 32.

    ~/venv-accrete/bin/python bench/peers/encode_worker.py --model ../shared/models/minilm-l6 --texts texts.json
    ~/venv-accrete/bin/python bench/peers/encode_worker.py --model ../shared/models/minilm-l6 --onnx OUT

Speaks the lines of `peft_worker.py`; a step encodes all texts. With --onnx it writes the model as PyTorch exports it, in the layout that
transformers.js reads, for `encode_worker.mjs`.
"""

import argparse
import json
import pathlib
import shutil

import peft_worker
import sentence_transformers
import torch
import transformers


class States(torch.nn.Module):
    """Takes its inputs in order, as the exporter gives them."""

    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        return self.backbone(**inputs).last_hidden_state  # (batch, tokens, width)


def export(model: str, out: pathlib.Path) -> None:
    """transformers.js reads `onnx/model.onnx` beside the tokenizer's files."""
    backbone = transformers.AutoModel.from_pretrained(model, attn_implementation="eager").eval()
    inputs = {name: torch.ones(2, 5, dtype=torch.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    (out / "onnx").mkdir(parents=True)
    for file in pathlib.Path(model).glob("*.json"):
        shutil.copy(file, out)
    torch.onnx.export(
        States(backbone),
        (inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"]),
        str(out / "onnx" / "model.onnx"),
        input_names=list(inputs),
        output_names=["last_hidden_state"],
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in (*inputs, "last_hidden_state")},
        opset_version=17,
        dynamo=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--texts", help="JSON list of texts")
    parser.add_argument("--onnx", type=pathlib.Path, help="write the model for transformers.js into this new folder")
    parser.add_argument("--threads", type=int, default=2, help="number of physical cores")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    arguments = parser.parse_args()
    if arguments.onnx is not None:
        export(arguments.model, arguments.onnx)
        return
    torch.set_num_threads(arguments.threads)
    dtype = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
    model = sentence_transformers.SentenceTransformer(arguments.model, device="cpu", model_kwargs={"dtype": dtype})
    texts = json.loads(pathlib.Path(arguments.texts).read_text())
    peft_worker.reply(
        {"ready": True, "versions": {"sentence-transformers": sentence_transformers.__version__, "torch": torch.__version__}}
    )

    def step() -> None:
        model.encode(texts, normalize_embeddings=True, show_progress_bar=False)

    peft_worker.serve(step)


if __name__ == "__main__":
    main()
