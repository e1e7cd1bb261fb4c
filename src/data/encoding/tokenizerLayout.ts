/** Which class of tokenizer a folder has, and its tokenizer.json as that class lays it out. */
import { CheckpointError } from "../../core/errors.ts";
import {
  type Layout,
  type TokenizerClass,
  type TokenizerClassName,
  tokenizerClasses,
} from "./tokenizerClasses.ts";
import {
  type NamedToken,
  namedTokens,
  type TokenizerConfig,
  type TokenizerFile,
} from "./tokenizerSchemas.ts";

/** By its name, with or without `Fast` behind it. */
function classNamed(name: string): TokenizerClassName | undefined {
  const bare = name.replace(/Fast$/, "");
  return Object.keys(tokenizerClasses).find((known): known is TokenizerClassName => known === bare);
}

/** The class of an architecture whose folder names none. */
const classOfModel: ReadonlyMap<string, TokenizerClassName> = new Map([
  ["bert", "BertTokenizer"],
  ["distilbert", "BertTokenizer"],
  ["electra", "BertTokenizer"],
  ["roberta", "RobertaTokenizer"],
  ["xlm-roberta", "XLMRobertaTokenizer"],
  ["camembert", "CamembertTokenizer"],
  ["mpnet", "MPNetTokenizer"],
  ["deberta-v2", "DebertaV2Tokenizer"],
  ["gpt2", "GPT2Tokenizer"],
  ["gpt_neox", "GPTNeoXTokenizer"],
  ["qwen2", "Qwen2Tokenizer"],
  ["qwen3", "Qwen2Tokenizer"],
  ["gemma", "GemmaTokenizer"],
  ["gemma2", "GemmaTokenizer"],
  ["gemma3", "GemmaTokenizer"],
  ["gemma3_text", "GemmaTokenizer"],
]);
/** Architectures that are read as their tokenizer.json stands, whatever class is named. */
const readAsItStands: ReadonlySet<string> = new Set(["modernbert", "phi3", "mistral"]);
/** Architectures whose own class holds, whatever class is named. */
const ownClassHolds: ReadonlySet<string> = new Set(["qwen2"]);

/**
 * The class that `AutoTokenizer.from_pretrained` of transformers 5 takes.
 * @param declared `tokenizer_class` of tokenizer_config.json, or else of config.json
 * @param modelType `model_type` of config.json
 * @returns undefined where tokenizer.json is read as it stands
 */
export function chooseClass(
  file: TokenizerFile,
  declared: string | undefined,
  modelType: string | undefined,
): TokenizerClassName | undefined {
  if (modelType !== undefined && readAsItStands.has(modelType)) return undefined;
  const own = modelType === undefined ? undefined : classOfModel.get(modelType);
  if (declared === undefined) return own;
  const known = classNamed(declared);
  const hasBytes = JSON.stringify(file.pre_tokenizer ?? null).includes('"ByteLevel"');
  if (known === "LlamaTokenizer" && hasBytes) return undefined;
  return modelType !== undefined && ownClassHolds.has(modelType) ? own : known;
}

export interface ClassLayout {
  /** Without added tokens: those come from tokenizer_config.json, or else from the file as it was. */
  readonly file: TokenizerFile;
  readonly names: Partial<Record<NamedToken, string>>;
  readonly paddingSide: "left" | "right";
  readonly frame: Layout["frame"];
}

/**
 * Lays a tokenizer.json out as a class does.
 * @throws CheckpointError if the file's model is of another kind than the class works with
 */
export function layOut(
  className: TokenizerClassName,
  file: TokenizerFile,
  config: TokenizerConfig,
  where: string,
): ClassLayout {
  const known: TokenizerClass = tokenizerClasses[className];
  const names: Partial<Record<NamedToken, string>> = { ...known.names };
  for (const name of namedTokens) {
    const given = config[name];
    if (given !== undefined && given !== null) names[name] = given;
    if (given === null) delete names[name];
  }
  const layout = known.lay(file, config, (name) => names[name] ?? "");
  const type = file.model.type;
  if (type !== undefined && type !== layout.model.type)
    throw new CheckpointError(
      `${where}: tokenizer_config.json names ${className}, whose model is ${layout.model.type}, and tokenizer.json has ${type}`,
      { hint: 'Where tokenizer.json is right, write "tokenizer_class": "PreTrainedTokenizerFast".' },
    );
  return {
    file: { ...file, ...layout.parts, model: { ...layout.model, vocab: file.model.vocab }, added_tokens: [] },
    names,
    paddingSide: known.paddingSide ?? "right",
    frame: layout.frame,
  };
}
