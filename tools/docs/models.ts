/** Writes the tables of docs/models.md from the table of families: `npx tsx tools/docs/models.ts`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { architectures, families, type OwnHead } from "../../src/nn/families.ts";

export const modelsPage = join(packageRoot, "docs", "models.md");

const code = (text: string): string => `\`${text}\``;

/** The version of a package that the goldens were made with. */
function versionOf(name: string): string {
  const text = readFileSync(join(packageRoot, "tools", "requirements.txt"), "utf8");
  return new RegExp(`^${name}==(.+)$`, "m").exec(text)?.[1] ?? "?";
}

const between: { readonly [K in OwnHead["kind"]]: string } = {
  linear: "one linear layer",
  cosine: "cosines",
  dense: "two layers, tanh",
  "dense-relu": "two layers, ReLU",
  "dense-gelu": "two layers, GELU",
  "dense-gelu-norm": "two layers, GELU and a norm",
};

const read: { readonly [P in OwnHead["pooling"]]: string } = {
  cls: "first token",
  pooler: "pooler",
  last: "last token",
  mean: "mean",
};

function row(architecture: (typeof architectures)[number]): string {
  const { kind, targets, heads, refuses } = families[architecture];
  const cells = [
    code(architecture),
    kind,
    targets.modules.map(code).join(", ") + (targets.peft ? "" : " (ours)"),
    kind === "encoder" ? "`cls`" : "`last`",
    `${between[heads.sentence.kind]} on the ${read[heads.sentence.pooling]}`,
    heads.word === undefined ? "–" : between[heads.word.kind],
    refuses.length === 0 ? "–" : refuses.join("; "),
  ];
  return `| ${cells.join(" | ")} |`;
}

function table(): string {
  const head = [
    "`model_type`",
    "kind",
    "LoRA by default",
    "pooling by default",
    "head of texts",
    "head of words",
    "refused",
  ];
  return [
    `Checked against transformers ${versionOf("transformers")}, peft ${versionOf("peft")} and torch ${versionOf("torch")}.`,
    "",
    `| ${head.join(" | ")} |`,
    `| ${head.map(() => "---").join(" | ")} |`,
    ...architectures.map(row),
  ].join("\n");
}

const open = "<!-- models: made by tools/docs/models.ts -->\n";
const close = "<!-- end of models -->";

/** The page with what stands between its marks made anew. */
export function renderModelsPage(page: string): string {
  const [before = "", rest = ""] = page.split(open);
  const after = rest.split(close).slice(1).join(close);
  return `${before}${open}\n${table()}\n\n${close}${after}`;
}

if (process.argv[1] === import.meta.filename)
  writeFileSync(modelsPage, renderModelsPage(readFileSync(modelsPage, "utf8")));
