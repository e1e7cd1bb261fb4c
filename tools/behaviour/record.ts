/**
 * Records what the scenarios of tests/behaviour compute, or with --check compares.
 *
 *   npx tsx tools/behaviour/record.ts [--check] [names…]
 *
 * Without names: all of them, and the machine.
 */
import { Bench } from "../../tests/behaviour/bench.ts";
import { perform } from "../../tests/behaviour/driver.ts";
import { differences, goldenOf, readGolden, writeGolden } from "../../tests/behaviour/golden.ts";
import { isRecordedHere, recordMachine } from "../../tests/behaviour/machine.ts";
import { closenessOf, goldenNameOf, scenarios } from "../../tests/behaviour/scenarios/index.ts";

const args = process.argv.slice(2);
const check = args.includes("--check");
const names = args.filter((arg) => !arg.startsWith("--"));
const unknown = names.filter((name) => !scenarios.some((scenario) => scenario.name === name));
if (unknown.length > 0) {
  console.error(
    `no such scenario: ${unknown.join(", ")}; there are ${scenarios.map(({ name }) => name).join(", ")}`,
  );
  process.exit(2);
}

const all = names.length === 0;
if (!check && all) await recordMachine();
const exact = await isRecordedHere();
if (!check && !exact) {
  console.error("goldens of another processor or engine: record all of them, not some");
  process.exit(2);
}

await using bench = await Bench.open();
let failures = 0;
for (const scenario of scenarios.filter(({ name }) => all || names.includes(name))) {
  const start = performance.now();
  const golden = goldenOf(await perform(scenario, bench));
  const name = goldenNameOf(scenario);
  const compares = check || name !== scenario.name;
  if (!compares) await writeGolden(name, golden);
  const found = compares ? differences(golden, await readGolden(name), closenessOf(scenario, exact)) : [];
  if (found.length > 0) failures += 1;
  const said = found.length > 0 ? `${found.length} differences` : compares ? "as recorded" : "recorded";
  console.log(`${scenario.name}: ${said}, ${((performance.now() - start) / 1000).toFixed(1)} s`);
  for (const line of found.slice(0, 10)) console.log(`  ${line}`);
}
process.exitCode = failures > 0 ? 1 : 0;
