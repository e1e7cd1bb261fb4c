import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { CheckpointError, loadConfig, type ResolvedConfig, type RunEvent, runExperiment } from "accrete-lm";
import { type Metric, registerMetric } from "accrete-lm/extend";

const tasks: Metric = (run) => run.tasks.length;
registerMetric("tasks", tasks);

const file = fileURLToPath(new URL("demo/demo.yaml", import.meta.resolve("accrete-lm/package.json")));
const { config }: { config: ResolvedConfig } = await loadConfig(file);
const events: AsyncGenerator<RunEvent> = runExperiment({
  ...config,
  backbone: "/no/such/model",
  out: "runs/none",
});
await assert.rejects(events.next(), (error) => error instanceof CheckpointError && error.exitCode === 2);
console.log(`accrete-lm knows ${config.stream.taskList?.length ?? 0} tasks of its demo`);
