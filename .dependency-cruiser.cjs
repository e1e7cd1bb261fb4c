/**
 * Who may import whom: the table of docs/architecture.md, and no cycles. It reads the compiled JavaScript
 * (tools/rooms/check.sh), so it sees what is loaded at run time and no type-only import.
 */
/** Lowest first; `above` in the table's sense is every room that stands before. */
const rooms = {
  core: [],
  graph: ["core"],
  autodiff: ["core", "graph"],
  onnx: ["core", "graph"],
  io: ["core"],
  runtime: ["core", "graph", "onnx", "io"],
  linalg: ["core", "graph"],
  nn: ["core", "graph"],
  peft: ["core", "graph", "nn", "io"],
  optim: ["core"],
  data: ["core", "io"],
  train: ["core", "graph", "autodiff", "nn", "peft", "optim", "data"],
  generate: ["core", "graph", "autodiff", "nn", "peft", "data", "train"],
  continual: ["core", "io", "linalg", "optim", "nn", "peft", "data", "train", "generate"],
  report: ["core"],
  prepare: ["core", "io", "data"],
};
rooms.app = Object.keys(rooms);
rooms.cli = Object.keys(rooms);

const engine = "^(onnxruntime-node|onnxruntime-web|onnxruntime-common)$";

module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "every-room-is-in-the-table",
      severity: "error",
      from: { path: "^src/([^/]+)/" },
      to: { path: "^src/", pathNot: `^src/(${Object.keys(rooms).join("|")})/|^src/index\\.js$` },
    },
    {
      name: "nothing-imports-the-entry",
      severity: "error",
      from: {},
      to: { path: "^src/index\\.js$" },
    },
    {
      name: "one-file-imports-the-engine",
      comment: "onnxruntime-node is imported in runtime/node only; everything else asks for a Runtime.",
      severity: "error",
      from: { pathNot: "^src/runtime/node\\.js$" },
      to: { path: engine },
    },
    ...Object.entries(rooms).map(([room, may]) => ({
      name: `${room}-imports-${may.length === 0 ? "nothing" : "its-own"}`,
      severity: "error",
      from: { path: `^src/${room}/` },
      to: { path: "^src/", pathNot: `^src/(${[room, ...may].join("|")})/` },
    })),
  ],
  options: { doNotFollow: { path: "node_modules" }, moduleSystems: ["es6"] },
};
