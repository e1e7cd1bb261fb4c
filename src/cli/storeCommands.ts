/** The commands of a store that goes on learning, and their flags. */
import { Option } from "commander";
import { exportKinds } from "../export/types.ts";
import { type AddCommand, collect, parseCount, parseSeconds, parseSeed } from "./flagValues.ts";

const waiting = [
  "--wait <seconds>",
  "how long another process that is changing the store is waited for (default: 10)",
  parseSeconds,
] as const;

export const storeCommands: readonly AddCommand[] = [
  (program, terminal) =>
    program
      .command("init")
      .summary("begin an empty store that learns task after task")
      .description("Begins an empty store: a folder that goes on learning, one task or class after another.")
      .argument("<store>", "folder to make")
      .requiredOption("--backbone <model>", "folder or hub id of the frozen model")
      .option("--set <key=value>", "a setting it learns with, e.g. training.epochs=5 (repeatable)", collect)
      .option("--json", "print as JSON")
      .action(async (store, flags) =>
        (await import("./commands/store/init.ts")).initCommand(store, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("learn")
      .summary("teach a store one more task or class")
      .description(
        "Teaches a store, or a finished run, one more task from a file or an adapter, or one more class from a few examples.",
      )
      .usage(
        '[options] <store> --task <name> <data>\n       accrete learn [options] <store> --class <name> "<example>"...\n       accrete learn [options] <store> --adapter <folder>\n       accrete learn [options] <store> --outside <file>',
      )
      .argument("<store>", "folder of a store or a run")
      .argument(
        "[data...]",
        "a file of {text, label} lines, CSV or Parquet, tagged sentences where words are tagged; with --class the examples, each in quotes",
      )
      .option("--task <name>", "learn a task of that name; with --class the task that the class joins")
      .option("--class <name>", "learn a class from the examples, without training")
      .option("--adapter <folder>", "take in an adapter that was saved here or by peft, as a task")
      .option(
        "--labels <names>",
        "of an adapter: its classes in the order of its head, between commas or one a line of a file",
      )
      .option(
        "--outside <file>",
        "learn what is unknown from texts of none of the classes: one a line, or {text} lines",
      )
      .option("--statistics-only", "train no adapter: seconds; classes are told apart from frozen features")
      .option("--validation <file>", "of a task: held-out examples (default: a tenth of every class)")
      .option("--consolidate", "fit the router that takes over, too")
      .option("--backbone <model>", "begin the store where there is none; else where the backbone lies now")
      .option("--set <key=value>", "with a new store: a setting it learns with (repeatable)", collect)
      .option(...waiting)
      .option("--json", "print as JSON")
      .option("--quiet", "no progress")
      .action(async (store, data, flags) =>
        (await import("./commands/store/learn.ts")).learnCommand(store, data, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("set")
      .summary("change settings of a store, such as its router")
      .description(
        "Makes a next version of a store with other settings: what the router is, when it rejects, how the next adapters are trained. What would change features or adapters is refused.",
      )
      .argument("<store>", "folder of a store or a run")
      .argument("<settings...>", "e.g. router.kind=lda router.rejectRate=0.05")
      .option("--backbone <path>", "where the backbone lies now; its hash must be the store's")
      .option(...waiting)
      .option("--json", "print as JSON")
      .action(async (store, settings, flags) =>
        (await import("./commands/store/set.ts")).setCommand(store, settings, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("consolidate")
      .summary("fit the router that takes over from the immediate one")
      .description(
        "Fits the consolidated router of a store's newest version. A change is committed with an immediate router, which answers meanwhile.",
      )
      .argument("<store>", "folder of a store or a run")
      .option("--backbone <path>", "where the backbone lies now; its hash must be the store's")
      .option("--json", "print as JSON")
      .option("--quiet", "no progress")
      .action(async (store, flags) =>
        (await import("./commands/store/consolidate.ts")).consolidateCommand(store, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("forget")
      .summary("make a store forget a class or a task")
      .description(
        "Makes a store forget a class, or a task with its adapter: its statistics are then as if it never saw it. With --purge alone: deletes what was forgotten before.",
      )
      .argument("<store>", "folder of a store or a run")
      .option("--class <name>", "class, or entity type, to forget, in whatever task it is")
      .option("--task <name>", "task to forget, with its adapter")
      .option("--purge", "delete the earlier versions too, which still hold it: there is no way back then")
      .option("--backbone <path>", "where the backbone lies now; its hash must be the store's")
      .option(...waiting)
      .option("--json", "print as JSON")
      .action(async (store, flags) =>
        (await import("./commands/store/forget.ts")).forgetCommand(store, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("merge")
      .summary("make a store of two others")
      .description("Makes a store of two others on the same backbone: the union of what they learned.")
      .argument("<first>", "folder of a store or a run; its settings are taken")
      .argument("<second>", "folder of a store or a run")
      .requiredOption("--out <folder>", "folder to make")
      .option("--backbone <path>", "where the backbone lies now; its hash must be the stores'")
      .option("--json", "print as JSON")
      .action(async (first, second, flags) =>
        (await import("./commands/store/merge.ts")).mergeCommand(first, second, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("ls")
      .summary("list what a store has learned, and its versions")
      .description(
        "Lists the tasks of a store or a run, what is kept of them, and the versions to go back to.",
      )
      .argument("<store>", "folder of a store or a run")
      .option("--json", "print as JSON")
      .action(async (store, flags) =>
        (await import("./commands/store/ls.ts")).lsCommand(store, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("rollback")
      .summary("take back a store's last change")
      .description("Makes a next version of a store that holds what an earlier one held.")
      .argument("<store>", "folder of a store")
      .option("--to <version>", "version to go back to (default: the one before)", parseCount)
      .option(...waiting)
      .option("--json", "print as JSON")
      .action(async (store, flags) =>
        (await import("./commands/store/rollback.ts")).rollbackCommand(store, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("check")
      .summary("check every file of a store or a run")
      .description(
        "Checks every file of a store or a run against its hash, every value for finiteness, and every version. Changes nothing.",
      )
      .argument("<store>", "folder of a store or a run")
      .option("--json", "print as JSON")
      .action(async (store, flags) =>
        (await import("./commands/store/check.ts")).checkCommand(store, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("repair")
      .summary("make a damaged store or run usable again")
      .description(
        "Goes back to the newest whole version where the manifest is damaged, does without damaged tasks, and says what is lost. What cannot be read is put aside, not deleted.",
      )
      .argument("<store>", "folder of a store or a run")
      .option(...waiting)
      .option("--json", "print as JSON")
      .action(async (store, flags) =>
        (await import("./commands/store/repair.ts")).repairCommand(store, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("backup")
      .summary("copy a store or a run while it is in use")
      .description("Copies a store or a run with the versions that are kept, while others use it.")
      .argument("<store>", "folder of a store or a run")
      .argument("<folder>", "folder to make")
      .option("--json", "print as JSON")
      .action(async (store, folder, flags) =>
        (await import("./commands/store/backup.ts")).backupCommand(store, folder, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("push")
      .summary("publish a store in a bucket, for servers to read")
      .description(
        "Publishes a store with the versions that it keeps, or those that came since it was published (docs/store.md).",
      )
      .argument("<store>", "folder of a store or a run")
      .argument("<url>", "s3://bucket/prefix/name, or a shared folder with the name behind it")
      .option(
        "--wait <seconds>",
        "how long others who are changing either are waited for (default: 40)",
        parseSeconds,
      )
      .option("--json", "print as JSON")
      .action(async (store, url, flags) =>
        (await import("./commands/store/push.ts")).pushCommand(store, url, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("pull")
      .summary("copy a store from a bucket")
      .description(
        "Copies a published store into a folder, or brings such a copy to the version that is published.",
      )
      .argument("<url>", "s3://bucket/prefix/name, or a shared folder with the name behind it")
      .argument("<folder>", "folder to make, or an earlier copy of the same store")
      .option("--json", "print as JSON")
      .action(async (url, folder, flags) =>
        (await import("./commands/store/pull.ts")).pullCommand(url, folder, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("export")
      .summary("write what was learned as other programs read it")
      .description(
        "Writes what a store or a run learned as other programs read it (docs/export.md): onnx, encoder and router as one model of all classes, for transformers.js and accrete-lm/web; merged, one task's LoRA merged into the weights, for transformers; peft, folders for peft and vLLM; gguf-lora, adapters of decoders for llama.cpp.",
      )
      .argument("<store>", "folder of a store or a run")
      .addOption(new Option("--to <kind>", "as what").choices(exportKinds).makeOptionMandatory())
      .option("--out <folder>", "folder to make (default: <store>-<kind> in the working directory)")
      .option("--task <name>", "export this task alone")
      .option("--backbone <path>", "where the backbone lies now; its hash must be the store's")
      .option("--json", "print as JSON")
      .action(async (store, flags) =>
        (await import("./commands/store/export.ts")).exportCommand(store, flags, terminal),
      ),
  (program, terminal) =>
    program
      .command("gc")
      .summary("delete versions that a store need not keep")
      .description(
        "Deletes the oldest versions of a store beyond those that it keeps, and what interrupted changes left; of a published store what is in the bucket and no published version names.",
      )
      .argument("<store>", "folder of a store, or the url of a published one: s3://bucket/prefix/name")
      .option(
        "--keep <n>",
        "versions before the present one that stay (default: keepVersions, 20)",
        parseSeed,
      )
      .option(
        "--wait <seconds>",
        "how long others who are changing it are waited for (default: 10; of a published one 40)",
        parseSeconds,
      )
      .option("--json", "print as JSON")
      .action(async (store, flags) =>
        (await import("./commands/store/gc.ts")).gcCommand(store, flags, terminal),
      ),
];
