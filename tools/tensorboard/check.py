"""Reads a run's event file with TensorBoard's own reader, and compares every scalar with the run's `events.jsonl`.

Usage: check.py <run folder>, in an environment with tools/requirements.txt.
"""

import json
import math
import pathlib
import sys

from tensorboard.backend.event_processing import event_accumulator


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)


def main(folder: pathlib.Path) -> None:
    accumulator = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    read = {tag: accumulator.Scalars(tag) for tag in tags}
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    metrics = json.loads((folder / "metrics.json").read_text())

    losses = {}
    for event in events:
        if event["type"] == "step":
            losses.setdefault(event["task"], []).append(event["loss"])
    assert losses, "the run has no steps"
    for task, expected in losses.items():
        found = [scalar.value for scalar in read[f"Loss_MB/train_phase/train_stream/Task{task:03d}"]]
        assert len(found) == len(expected) and all(map(close, found, expected)), f"losses of task {task}"
    steps = [scalar.step for tag in tags if tag.startswith("Loss_MB") for scalar in read[tag]]
    assert steps == sorted(steps) and len(set(steps)) == len(steps), "steps go on from task to task"

    checked = len(steps)
    stream = "eval_phase/test_stream/Task000"
    for event in events:
        if event["type"] != "evaluated":
            continue
        for task, value in enumerate(event["cil"]):
            scalars = read[f"Top1_Acc_Exp/{stream}/Exp{task:03d}"]
            assert close(scalars[event["task"] - task].value, value), f"accuracy of task {task}"
            checked += 1
    for protocol, suffix in (("cil", ""), ("til", "/til"), ("routed", "/routed")):
        if protocol not in metrics:
            continue
        name = "averageAccuracy" if metrics.get("level") != "word" else "microF1"
        tag = f"{'Top1_Acc' if name == 'averageAccuracy' else 'F1_Micro'}_Stream/{stream}{suffix}"
        assert close(read[tag][-1].value, metrics[protocol][name]), tag
        checked += 1
    print(f"TensorBoard reads {len(tags)} tags; {checked} scalars are those of the run's record")


main(pathlib.Path(sys.argv[1]))
