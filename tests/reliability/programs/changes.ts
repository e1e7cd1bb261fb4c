/**
 * Changes a store for ever, until it is killed: `changes.ts <folder>`. Prints the number of each version that was made, once
 * it was acknowledged.
 */
import { readState, readStore } from "../../../src/workspace/reading.ts";
import { Workspace } from "../../../src/workspace/workspace.ts";
import { anyModel, grownTask, statisticsTask } from "../../support/states.ts";

const [, , folder = ""] = process.argv;

for (let n = 0; ; n++) {
  await using workspace = await Workspace.open(folder, { elsewhere: false });
  const { tasks } = await readState(folder, await readStore(folder), anyModel);
  const first = tasks[0];
  const what = n % 5;
  if (what === 1 && first !== undefined) {
    await workspace.commit({ tasks: tasks.with(0, grownTask(first, `class ${n}`, n)) }, "rows");
  } else if (what === 2 && tasks.length > 3) {
    await workspace.commit({ tasks: tasks.slice(2) }, "forgot two");
  } else if (what === 3) {
    await workspace.rollback().catch(() => {});
  } else {
    await workspace.commit({ tasks: [...tasks, statisticsTask(`task ${n} ${process.pid}`)] }, "a task");
  }
  console.log(String(workspace.manifest?.store?.version));
  await workspace.expire(5);
  if (n % 7 === 6) await workspace.purge();
}
