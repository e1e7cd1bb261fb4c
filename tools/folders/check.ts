/**
 * Checks how `src` is divided: who imports whom (type imports count), no cycles among folders, and how large files and
 * folders are. `npm run check` runs it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";

const mostFiles = 16;
const mostLines = 420;
/** Rule tables and generated code are as long as what they list. */
const longFiles: ReadonlySet<string> = new Set([
  "autodiff/rules.ts",
  "client/operations.ts",
  "graph/infer.ts",
  "onnx/generated/onnx_pb.ts",
  "onnx/lower.ts",
  "runtime/referenceKernels.ts",
]);
/** The files that import ONNX Runtime: one for Node, one for browsers. */
const engineFiles: ReadonlyMap<string, string> = new Map([
  ["runtime/node.ts", "onnxruntime-node"],
  ["runtime/web.ts", "onnxruntime-web/wasm"],
]);

const entry = ".";

const isSource = (file: string) => /\.tsx?$/.test(file);

/** Path below `src` → text; every `.ts`, `.tsx` and `README.md`. */
export type Sources = ReadonlyMap<string, string>;
/** Folder → the folders that it may import. */
export type ImportTable = Readonly<Record<string, readonly string[]>>;

const data = ["data", "data/encoding", "data/files"];
/** Networks, and what they are made of. */
const networks = ["nn/layers", "nn/encoders", "nn/decoders"];
const nn = ["nn", ...networks];
/** The lower half: what computes, and what is read from files. */
const lower = [
  "core",
  "portable",
  "io",
  "io/models",
  "graph",
  "runtime",
  ...nn,
  "peft",
  "optim",
  "linalg",
  "train",
  "generate",
  ...data,
];
const model = ["config", "continual", "model", "model/settings", "workspace"];
const report = ["report/charts", "report/record"];

/** Folder → the folders that it may import; lowest first. Everything may import what is in its own folder. */
const mayImport: ImportTable = {
  core: [],
  portable: ["core"],
  io: ["core", "portable"],
  "io/models": ["core", "io", "portable"],
  artefacts: ["core", "io"],
  graph: ["core"],
  autodiff: ["core", "graph"],
  "onnx/generated": [],
  onnx: ["core", "portable", "graph", "onnx/generated"],
  runtime: ["core", "graph", "io", "onnx"],
  linalg: ["core", "portable", "graph", "runtime"],
  "nn/layers": ["core", "graph"],
  "nn/encoders": ["core", "graph", "nn/layers"],
  "nn/decoders": ["core", "graph", "nn/layers"],
  nn: ["core", "graph", ...networks],
  peft: ["core", "portable", "graph", "io", ...nn],
  optim: ["core"],
  "data/files": ["core", "io"],
  "data/encoding": ["core", "portable", "io", "data/files"],
  data: ["core", "io", "data/files"],
  train: ["core", "portable", "graph", "autodiff", "runtime", ...nn, "peft", "optim", "data/encoding"],
  generate: ["core", "graph", "autodiff", "runtime", ...nn, "peft", "train", "data/encoding"],
  continual: lower,
  "continual/passes": [...lower, "continual"],
  "continual/statistics": [...lower, "continual", "continual/passes"],
  "continual/routers/readouts": [...lower, "continual", "continual/statistics"],
  "continual/routers/scores": [...lower, "continual", "continual/routers/readouts"],
  "continual/routers": [
    ...lower,
    "continual",
    "continual/statistics",
    "continual/routers/readouts",
    "continual/routers/scores",
  ],
  "continual/taskTypes": [...lower, "continual", "continual/passes"],
  "continual/routing": [
    ...lower,
    "continual",
    "continual/passes",
    "continual/statistics",
    "continual/routers",
    "continual/routers/scores",
    "continual/taskTypes",
  ],
  "continual/newlora": [
    ...lower,
    "continual",
    "continual/passes",
    "continual/taskTypes",
    "continual/routing",
  ],
  "continual/metrics": [
    ...lower,
    "continual",
    "continual/passes",
    "continual/statistics",
    "continual/routers",
    "continual/routing",
    "continual/taskTypes",
  ],
  config: ["core", "io", ...nn, "peft", "continual", "continual/routers", ...data],
  "model/settings": [...lower, "config", "continual", "continual/taskTypes"],
  model: [
    ...lower,
    "config",
    "continual",
    "continual/passes",
    "continual/statistics",
    "continual/routers",
    "continual/taskTypes",
    "continual/routing",
    "continual/newlora",
    "continual/metrics",
    "model/settings",
  ],
  workspace: [
    "core",
    "io",
    ...nn,
    "config",
    "continual",
    "model",
    "model/settings",
    "continual/statistics",
    "continual/newlora",
    "continual/routing",
  ],
  "report/record": ["core"],
  "report/charts": ["core", "report/record"],
  report: ["core", ...report],
  experiment: [
    ...lower,
    ...model,
    "continual/taskTypes",
    "continual/newlora",
    "continual/metrics",
    "report",
    "report/record",
  ],
  sweep: ["core", "io", ...model, "experiment", "report", "report/record"],
  "sweep/queue": ["core", "io", "artefacts", "config", "workspace", "experiment", "sweep"],
  store: [
    ...lower,
    ...model,
    "continual/passes",
    "continual/routing",
    "continual/statistics",
    "continual/taskTypes",
    "report/record",
  ],
  "store/sources": ["core", "io", "artefacts", "continual", "model/settings", "workspace", "store"],
  export: [
    ...lower,
    "onnx",
    "continual",
    "continual/passes",
    "continual/statistics",
    "continual/routers",
    "continual/routers/readouts",
    "continual/routing",
    "model",
    "store",
  ],
  web: [
    ...lower,
    "onnx",
    "continual",
    "continual/statistics",
    "continual/routers",
    "continual/routing",
    "model",
    "export",
  ],
  "server/engine": [...lower, ...model, "continual/taskTypes", "store", "store/sources"],
  "server/service": [
    ...lower,
    ...model,
    "continual/taskTypes",
    "report/record",
    "store",
    "store/sources",
    "server/engine",
  ],
  "server/api": ["core", "continual", "data/files", "server/engine", "server/service"],
  server: ["core", "io", "store/sources", "server/engine", "server/service", "server/api"],
  client: ["core"],
  "page/model": ["core", "client"],
  "page/parts": ["client", "page/model"],
  "page/screens": ["core", "client", "page/model", "page/parts"],
  "page/watching": ["client", "page/model", "page/parts"],
  page: ["client", "page/model", "page/parts", "page/screens", "page/watching"],
  "benchmark/original": ["core", "io", "config", "workspace", ...data],
  "benchmark/prepare": ["core", "io", ...data],
  "benchmark/speed": lower,
  "cli/terminal": [
    "core",
    "io",
    "config",
    "model",
    "experiment",
    "benchmark/speed",
    "report/record",
    ...data,
  ],
  "cli/commands": [
    ...lower,
    ...model,
    "benchmark/original",
    "experiment",
    "sweep",
    "artefacts",
    "sweep/queue",
    "store",
    "store/sources",
    "report",
    ...report,
    "server",
    "server/service",
    "cli/terminal",
  ],
  "cli/commands/store": [...lower, ...model, "store", "store/sources", "export", "cli/terminal"],
  "cli/commands/tools": [...lower, ...model, "benchmark/prepare", "benchmark/speed", "cli/terminal"],
  cli: [
    "core",
    "runtime",
    "export",
    "benchmark/prepare",
    "cli/terminal",
    "cli/commands",
    "cli/commands/store",
    "cli/commands/tools",
  ],
};

interface Import {
  readonly file: string;
  /** Path below `src`, or the name of a package. */
  readonly target: string;
}

const specifiers =
  /^(?:import|export)\b[^;"]*?\bfrom\s*"([^"]+)"|^import\s*"([^"]+)"|\bimport\(\s*"([^"]+)"/gm;

function importsOf(file: string, text: string): Import[] {
  return [...text.matchAll(specifiers)].map((match) => {
    const name = match[1] ?? match[2] ?? match[3] ?? "";
    return { file, target: name.startsWith(".") ? posix.join(posix.dirname(file), name) : name };
  });
}

/** Folder → each folder that it imports → the imports that do. */
type Graph = ReadonlyMap<string, ReadonlyMap<string, readonly Import[]>>;

function graphOf(sources: Sources): Graph {
  const graph = new Map<string, Map<string, Import[]>>();
  for (const [file, text] of sources) {
    if (!isSource(file)) continue;
    const folder = posix.dirname(file);
    const edges = graph.get(folder) ?? new Map<string, Import[]>();
    graph.set(folder, edges);
    for (const each of importsOf(file, text)) {
      const other = posix.dirname(each.target);
      if (!sources.has(each.target) || other === folder) continue;
      edges.set(other, [...(edges.get(other) ?? []), each]);
    }
  }
  return graph;
}

/** One cycle for each folder that closes one, with an import for each step. */
function cycles(graph: Graph): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (folder: string): void => {
    const start = path.indexOf(folder);
    if (start >= 0) {
      const steps = [...path.slice(start), folder];
      const files = steps.slice(1).map((to, i) => graph.get(steps[i] ?? "")?.get(to)?.[0]);
      const named = files.map((each) => `${each?.file} imports ${each?.target}`);
      found.push(`folders import each other in a circle: ${steps.join(" → ")}\n  ${named.join("\n  ")}`);
    }
    if (start >= 0 || done.has(folder)) return;
    path.push(folder);
    for (const other of graph.get(folder)?.keys() ?? []) visit(other);
    path.pop();
    done.add(folder);
  };
  for (const folder of graph.keys()) visit(folder);
  return found;
}

function forbidden(graph: Graph, table: ImportTable): string[] {
  const gone = Object.keys(table).filter((folder) => !graph.has(folder));
  const named = gone.map(
    (folder) => `the table of tools/folders/check.ts names src/${folder}, which has no files`,
  );
  const wrong = [...graph].flatMap(([folder, edges]) => {
    const allowed = table[folder];
    if (folder === entry) return [];
    if (allowed === undefined) return [`src/${folder} is not in the table of tools/folders/check.ts`];
    return [...edges]
      .filter(([other]) => !allowed.includes(other))
      .flatMap(([other, imports]) =>
        imports.map(({ file, target }) => `${file} imports ${target}: ${folder} may not import ${other}`),
      );
  });
  return [...named, ...wrong];
}

function sizes(graph: Graph, sources: Sources): string[] {
  const files = [...sources.keys()].filter(isSource);
  const long = files.flatMap((file) => {
    const lines = (sources.get(file) ?? "").split("\n").length - 1;
    return lines > mostLines && !longFiles.has(file)
      ? [`${file} has ${lines} lines of at most ${mostLines}`]
      : [];
  });
  const folders = [...graph.keys()].flatMap((folder) => {
    const count = files.filter((file) => posix.dirname(file) === folder).length;
    const readme = posix.join(folder, "README.md");
    return [
      ...(count > mostFiles ? [`src/${folder} has ${count} files of at most ${mostFiles}`] : []),
      ...(sources.has(readme) ? [] : [`src/${readme} is missing: say what is in the folder`]),
    ];
  });
  return [...long, ...folders];
}

function engineImports(sources: Sources): string[] {
  return [...sources].flatMap(([file, text]) =>
    importsOf(file, file.endsWith(".ts") ? text : "")
      .filter(({ target }) => target.startsWith("onnxruntime") && engineFiles.get(file) !== target)
      .map(({ target }) => `${file} imports ${target}: only ${[...engineFiles.keys()].join(" and ")} may`),
  );
}

/** @returns every problem, one line or paragraph each */
export function checkFolders(sources: Sources, table: ImportTable = mayImport): string[] {
  const graph = graphOf(sources);
  return [...cycles(graph), ...forbidden(graph, table), ...engineImports(sources), ...sizes(graph, sources)];
}

export function readSources(root: URL): Sources {
  const all = readdirSync(root, { recursive: true, encoding: "utf8" }).map((path) =>
    path.replaceAll("\\", "/"),
  );
  const wanted = all.filter((path) => isSource(path) || posix.basename(path) === "README.md").sort();
  return new Map(wanted.map((path) => [path, readFileSync(new URL(path, root), "utf8")]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const problems = checkFolders(readSources(new URL("../../src/", import.meta.url)));
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
