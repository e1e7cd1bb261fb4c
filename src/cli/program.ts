/** The commands and their flags. */
import { availableParallelism } from "node:os";
import { Argument, Command, Option } from "commander";
import { datasetNames } from "../benchmark/prepare/catalogue.ts";
import { addExamples } from "./examples.ts";
import {
  type AddCommand,
  collect,
  parseCount,
  parseProbability,
  parseSeed,
  parseShare,
  parseSize,
} from "./flagValues.ts";
import { storeCommands } from "./storeCommands.ts";
import type { Terminal } from "./terminal/terminal.ts";

function addRun(program: Command, terminal: Terminal): void {
  const run = program
    .command("run")
    .summary("learn a stream of tasks as a YAML file says")
    .description(
      "Learns a stream of tasks as a YAML file says; leaves metrics, adapters and a report in its out folder.",
    )
    .usage("[options] <config>\n       accrete run [options] --cfg <file> [--flag value]...")
    .argument("<config>", "YAML file; paths in it are relative to it")
    .option("--set <key=value>", "override a setting, e.g. training.epochs=5 (repeatable)", collect)
    .option("--resume", "go on where an interrupted run stopped")
    .option("--out <folder>", "run folder, in place of the file's")
    .option("--adapters-from <run>", "take a finished run's adapters, train none")
    .option("--seeds <list>", "run each seed into <out>/seed-<n> and summarise, e.g. 1,2,3")
    .option("--profile", "tell where the time went: by part of the run, and by operator of the engine")
    .option("--tasks <n>", "stop when so many tasks are learned; --resume goes on", parseCount)
    .option("--piece <n>", "learn this task alone, from 0, into --pieces", parseSeed)
    .addOption(
      new Option("--part <part>", "with --piece: this part of it alone").choices([
        "learn",
        "answers",
      ] as const),
    )
    .option("--pieces <folder>", "put the run together of pieces that others learned")
    .addOption(new Option("--asked", "compute the pieces that a worker asks for").hideHelp())
    .option("--validate", "measure each new adapter on its validation data too")
    .option("--at <key=path>", "where a file that the configuration names lies here (repeatable)", collect)
    .option("--cfg <file>", "the original benchmark's YAML, its flags behind it (docs/original.md)")
    .option("--faithful", "with --cfg: take the original's way where ours differs")
    .addOption(
      new Option("--ui [port]", "show the run on a page while it goes on; any free port unless one is named")
        .preset("0")
        .argParser(parseSeed),
    )
    .option("--json", "print the metrics as JSON in place of tables")
    .option("--quiet", "no progress");
  // The original's flags are its own: only with --cfg is a flag that is none of ours not a typo of one, and only then
  // is no configuration needed.
  run.on("option:cfg", () => {
    run.allowUnknownOption().allowExcessArguments();
    for (const argument of run.registeredArguments) argument.required = false;
  });
  run.action(async (_config, flags) =>
    (await import("./commands/run.ts")).runCommand(run.args, flags, terminal),
  );
}

function addSweep(program: Command, terminal: Terminal): void {
  program
    .command("sweep")
    .summary("run many configurations and seeds, here or on many machines")
    .description(
      "Runs the trials of a sweep, each configuration with each seed, and sets them side by side (docs/sweep.md).",
    )
    .argument("<sweep>", "YAML file; with --status, --watch and --cancel also the sweep's folder")
    .option("--jobs <n>", "trials at once on this machine (default: 1)", parseCount)
    .option("--resume", "go on with a sweep that was begun")
    .option("--shard <i/n>", "run the i-th of n parts, for Slurm arrays and CI matrices")
    .option("--queue <url>", "give the trials to workers: redis://host:6379 of Redis or Valkey")
    .option("--artefacts <place>", "with --queue: a folder that all machines see, or s3://bucket/prefix")
    .option("--split", "with --queue: also the tasks of each trial are jobs of their own")
    .option("--plan", "print the trials with an estimate of time and disk, and run none")
    .option("--status", "print where each trial stands")
    .option("--watch", "print it whenever it changes, until all is done")
    .option("--cancel", "stop the trials between two steps; --resume goes on")
    .option("--json", "print as JSON")
    .option("--quiet", "no plan and no progress")
    .action(async (sweep, flags) =>
      (await import("./commands/sweep.ts")).sweepCommand(sweep, flags, terminal),
    );
}

function addWorker(program: Command, terminal: Terminal): void {
  program
    .command("worker")
    .summary("run trials of sweeps that a queue gives out")
    .description(
      "Takes trials of sweeps from a queue, each in a process of its own, until it is told to stop (docs/sweep.md).",
    )
    .option("--queue <url>", "redis://host:6379 of Redis or Valkey; default: ACCRETE_QUEUE")
    .option("--artefacts <place>", "a folder that all machines see, or s3://bucket/prefix")
    .option("--concurrency <n>", "trials at once", parseCount, 1)
    .option("--cache <folder>", "takes what is fetched, and trials while they run")
    .option("--metrics <port>", "give metrics for Prometheus on this port", parseSeed)
    .option("--lock-seconds <n>", "hand a job on when its worker is silent for so long", parseCount, 30)
    .action(async (flags) => (await import("./commands/worker.ts")).workerCommand(flags, terminal));
}

function addInspect(program: Command, terminal: Terminal): void {
  const inspect = program
    .command("inspect")
    .summary("look into a model, an adapter, a run, or a graph")
    .description("Looks into a model (folder or hub id), an adapter folder, or a run folder.")
    .argument("<what>", "folder or hub id")
    .option("--json", "print as JSON")
    .action(async (what, flags) =>
      (await import("./commands/tools/inspect.ts")).inspectCommand(what, flags, terminal),
    );
  inspect
    .command("graph")
    .summary("print the graph that is built for a model")
    .description("Prints the graph that is built for a model.")
    .argument("<model>", "folder or hub id")
    .addOption(
      new Option("--phase <phase>", "training step, or sentence features")
        .choices(["train", "features"])
        .default("features"),
    )
    .addOption(
      new Option("--format <format>", "text, or dot for Graphviz").choices(["text", "dot"]).default("text"),
    )
    .action(async (model, flags) =>
      (await import("./commands/tools/inspectGraph.ts")).inspectGraphCommand(model, flags, terminal),
    );
}

const commands: readonly AddCommand[] = [
  addRun,
  addSweep,
  addWorker,
  (program, terminal) =>
    program
      .command("report")
      .summary("show a run's metrics and accuracy matrices")
      .description("Shows the metrics and accuracy matrices of a run, finished or not.")
      .argument("<run>", "run folder")
      .addOption(new Option("--html", "write report.html anew and print its path").conflicts("json"))
      .option("--json", "print as JSON")
      .action(async (run, flags) =>
        (await import("./commands/report.ts")).reportCommand(run, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("compare")
      .summary("set runs side by side: accuracy, forgetting, passes, time, memory")
      .description(
        "Sets finished runs side by side: accuracy, forgetting, forward passes, time and memory. A folder of --seeds counts as one run.",
      )
      .argument("<runs...>", "run folders")
      .option("--html <file>", "also write a page with the plot of accuracy against passes")
      .option("--json", "print as JSON")
      .action(async (runs, flags) =>
        (await import("./commands/compare.ts")).compareCommand(runs, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("errors")
      .summary("show what a run answered wrong")
      .description(
        "Shows what a run answered wrong after its last task: the most confused classes, accuracy by class, and the texts; of words the entities that were missed, spurious or mistyped.",
      )
      .argument("<run>", "run folder")
      .addOption(
        new Option(
          "--protocol <name>",
          "whose answers (default: routed where the run routes, else cil)",
        ).choices(["cil", "til", "routed"]),
      )
      .option("--top <n>", "pairs, classes and texts that are listed at most", parseCount, 10)
      .option("--json", "print as JSON")
      .action(async (run, flags) =>
        (await import("./commands/errors.ts")).errorsCommand(run, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("predict")
      .summary("label texts, or find entities, with what was learned")
      .description(
        "Labels texts with what a run or a store learned, or finds entities in them: given as arguments, in a file, or on stdin, one a line.",
      )
      .argument("<run>", "folder of a run or a store")
      .argument("[texts...]", "texts, each in quotes")
      .option("--file <file>", "read texts from a file, one a line")
      .option("--task <name>", "choose among this task's labels only, with its own head")
      .option("--exact", "run every adapter, where a router was learned too")
      .option("--top <n>", "show the n best classes", parseCount)
      .option(
        "--coverage <p>",
        "answer with a set of labels that contains the right one with this probability, e.g. 0.95",
        parseProbability,
      )
      .option("--pre-tokenized", "entities: the texts are words already, with blanks between them")
      .option("--min-score <p>", "entities: leave out those of a lower score, from 0 to 1", parseShare)
      .addOption(
        new Option(
          "--spans",
          'entities: print {"text", "entities": [{"start", "end", "label"}]} a line, places in characters',
        ).conflicts("json"),
      )
      .option("--backbone <path>", "where the backbone lies now; its hash must be the run's")
      .option("--json", "print one JSON object a line")
      .action(async (run, texts, flags) =>
        (await import("./commands/predict.ts")).predictCommand(run, texts, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("evaluate")
      .summary("evaluate what was learned on a labelled file")
      .description(
        "Answers a labelled file as predict does, and prints accuracy or F1, and figures by class or type.",
      )
      .argument("<run>", "folder of a run or a store")
      .argument("<file>", "{text, label} lines, CSV or Parquet; tagged sentences where words are tagged")
      .option("--task <name>", "choose among this task's labels only, with its own head")
      .option("--exact", "run every adapter, where a router was learned too")
      .option("--backbone <path>", "where the backbone lies now; its hash must be the run's")
      .option("--json", "print as JSON, with what was expected and answered of each item")
      .action(async (run, file, flags) =>
        (await import("./commands/evaluate.ts")).evaluateCommand(run, file, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("generate")
      .summary("continue texts with a model, or with what a run learned")
      .description(
        "Continues texts by the likeliest tokens: given as arguments, in a file, or on stdin, one a line. Nothing is put around them. Where a run learned a router to answer in words with, it chooses the adapter of each.",
      )
      .argument("<model>", "folder or hub id of a model, or the folder of a run or a store")
      .argument("[prompts...]", "prompts, each in quotes")
      .option("--file <file>", "read prompts from a file, one a line")
      .option("--max-new-tokens <n>", "tokens that are added at most (default: 20)", parseCount)
      .option(
        "--task <name>",
        "of a run: speak with this task's adapter; else the router's choice, or the newest",
      )
      .option("--exact", "of a run: speak with the newest adapter, where a router was learned too")
      .option("--backbone <path>", "of a run: where the backbone lies now; its hash must be the run's")
      .addOption(
        new Option(
          "--precision <precision>",
          "of a model: float32, or 8 bits (a run or store has its own)",
        ).choices(["fp32", "int8"]),
      )
      .addOption(
        new Option(
          "--device <device>",
          "of a model: the processor, or a GPU (a run or store has its own)",
        ).choices(["cpu", "webgpu"]),
      )
      .option("--json", "print one JSON object a line")
      .action(async (source, prompts, flags) =>
        (await import("./commands/generate.ts")).generateCommand(source, prompts, flags, terminal),
      ),
  ...storeCommands,
  (program, terminal) =>
    program
      .command("serve")
      .summary("answer and learn over HTTP")
      .description(
        "Serves stores and runs over HTTP: they are asked, taught and watched, on a page for people (docs/page.md) and by programs (docs/serve.md). Tokens come from ACCRETE_READ_TOKEN and ACCRETE_CHANGE_TOKEN, or from the files that these names with _FILE behind give.",
      )
      .argument(
        "[stores...]",
        "folders of stores or runs; name=folder calls one otherwise than its folder; one that is not there is begun empty",
      )
      .option(
        "--stores <place>",
        "serve every store in a folder, or in s3://bucket/prefix, by its name, each opened when it is first asked for",
      )
      .option("--cache <folder>", "takes copies of a bucket's stores (default: the cache folder)")
      .option(
        "--memory <size>",
        "memory that open stores may take besides their backbones, e.g. 2GB; the ones that were asked for least lately are closed (default: half of what there is)",
        parseSize,
      )
      .option("--port <n>", "where it listens; 0: any that is free", parseSeed, 8080)
      .option("--host <address>", "address that it listens on", "127.0.0.1")
      .option("--read-only", "refuse every change, and write nothing")
      .option("--runs <folder>", "list the runs in it, finished or under way")
      .option("--queue <url>", "show the workers of this Redis or Valkey, and what they do")
      .option(
        "--keep-texts <days>",
        "keep unknown texts, corrections and examples for review, for so many days; sealed where ACCRETE_KEEP_KEY is set",
        parseCount,
      )
      .option(
        "--limit <key=value>",
        "another limit than the default, e.g. requestsPerSecond=50 (repeatable)",
        collect,
      )
      .option("--cors <origin>", "let pages of this origin ask (repeatable; default: of none)", collect)
      .option("--trust-proxy", "take clients' addresses from the proxy's X-Forwarded-For")
      .option("--allow-anonymous", "listen on an address that others reach without asking for tokens")
      .option(
        "--backbone <path>",
        "where the backbone lies now; its hash must be the stores'. A store that is begun takes it",
      )
      .action(async (stores, flags) =>
        (await import("./commands/serve.ts")).serveCommand(stores, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("prepare")
      .summary("make a ready stream from a dataset's raw files")
      .description(
        "Makes continual_data.json and continual_config.json from the files that a dataset's publisher gives out.",
      )
      .addArgument(new Argument("<dataset>", "which set").choices(datasetNames))
      .requiredOption("--from <folder>", "folder of the raw files; docs/prepare.md lists them")
      .requiredOption("--to <folder>", "folder to make")
      .option("--seed <n>", "of splits, samples and shuffled orders", parseSeed, 1)
      .option("--base <n>", "entity types of the first task", parseCount)
      .option("--increment <n>", "entity types of each later task", parseCount)
      .action(async (dataset, flags) =>
        (await import("./commands/tools/prepare.ts")).prepareCommand(dataset, flags, terminal),
      ),
  addInspect,
  (program, terminal) =>
    program
      .command("doctor")
      .summary("check that this machine can run experiments")
      .description(
        "Checks that this machine can run experiments: Node, engine, processor, memory, disk, caches.",
      )
      .option("--json", "print as JSON")
      .option("--online", "also ask whether the model hub can be reached")
      .action(async (flags) => (await import("./commands/tools/doctor.ts")).doctorCommand(flags, terminal)),
  (program, terminal) =>
    program
      .command("bench")
      .summary("measure how fast this machine is")
      .description(
        "Measures products and copies on this machine, and steps of a backbone with LoRA beside them, in fp32 and where it can in int8.",
      )
      .option("--backbone <model>", "model folder or hub id; default: the model that is shipped")
      .option("--threads <n>", "threads of the engine", parseCount, availableParallelism())
      .option("--json", "print as JSON")
      .action(async (flags) => (await import("./commands/tools/bench.ts")).benchCommand(flags, terminal)),
  (program, terminal) =>
    program
      .command("demo")
      .summary("learn the shipped demo stream into ./runs/demo")
      .description(
        "Learns the shipped demo stream into ./runs/demo, in place of an earlier demo there; no network.",
      )
      .option("--set <key=value>", "override a setting, e.g. router=none (repeatable)", collect)
      .option("--quiet", "no progress")
      .action(async (flags) => (await import("./commands/demo.ts")).demoCommand(flags, terminal)),
];

export function buildProgram(terminal: Terminal, version: string): Command {
  const program = new Command("accrete")
    .description("Teaches a frozen language model one task after another, without forgetting.")
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.err(text),
      getOutHelpWidth: () => terminal.width,
      getErrHelpWidth: () => terminal.errWidth,
    })
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .showHelpAfterError("(add --help to see what there is)");
  for (const add of commands) add(program, terminal);
  addExamples(program);
  return program;
}
