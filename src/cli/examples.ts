/** An example for every command's help; a test parses each of them. */
import type { Command } from "commander";

export const examples: Readonly<Record<string, string>> = {
  run: "accrete run experiment.yaml --set router=auto --seeds 1,2,3",
  report: "accrete report runs/example",
  sweep: "accrete sweep ranks.yaml --jobs 2",
  worker: "accrete worker --queue redis://localhost:6379 --artefacts /mnt/shared",
  compare: "accrete compare runs/lora runs/prompt --html compared.html",
  errors: "accrete errors runs/example",
  predict: 'accrete predict intents "when does the next train leave?" --json',
  evaluate: "accrete evaluate intents labelled.jsonl",
  generate: 'accrete generate models/smollm2-135m "Once upon a time" --precision int8',
  init: "accrete init intents --backbone accrete-mini",
  learn: 'accrete learn intents --class greeting "hello" "good morning" "hi there"',
  set: "accrete set intents router.kind=lda router.rejectRate=0.05",
  consolidate: "accrete consolidate intents",
  forget: "accrete forget intents --class greeting",
  merge: "accrete merge intents others --out both",
  ls: "accrete ls intents",
  rollback: "accrete rollback intents",
  check: "accrete check intents",
  repair: "accrete repair intents",
  backup: "accrete backup intents copies/intents",
  push: "accrete push intents s3://bucket/stores/intents",
  pull: "accrete pull s3://bucket/stores/intents copies/intents",
  gc: "accrete gc intents --keep 5",
  export: "accrete export intents --to onnx --out exported",
  serve: "accrete serve intents --port 8080",
  prepare: "accrete prepare clinc150 --from raw/clinc150 --to prepared/clinc150",
  inspect: "accrete inspect models/minilm-l6",
  graph: "accrete inspect graph models/minilm-l6 --phase train",
  doctor: "accrete doctor --online",
  bench: "accrete bench --backbone models/minilm-l6 --threads 2",
  demo: "accrete demo --set router=none",
};

/** Puts each command's example behind its help, those of commands within commands too. */
export function addExamples(program: Command): void {
  for (const command of program.commands) {
    const example = examples[command.name()];
    if (example !== undefined) command.addHelpText("after", `\nFor example:\n  ${example}`);
    addExamples(command);
  }
}
