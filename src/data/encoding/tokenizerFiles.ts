/** The tokenizer files of a model folder, put together as transformers 5 and sentence-transformers do. */
import { z } from "zod";
import { CheckpointError } from "../../core/errors.ts";
import { sha256 } from "../../portable/hash.ts";
import { type AddedToken, OfficialTokenizer } from "./officialTokenizer.ts";
import { type ClassLayout, chooseClass, layOut } from "./tokenizerLayout.ts";
import {
  addedTokensSchema,
  type NamedToken,
  namedTokens,
  partSchema,
  sentenceConfigSchema,
  specialTokensMapSchema,
  type TokenizerConfig,
  type TokenizerFile,
  tokenizerConfigSchema,
  tokenizerFileSchema,
} from "./tokenizerSchemas.ts";

/** The files of a model, wherever they lie. */
export interface TokenizerSource {
  /** Its folder or address, for messages. */
  readonly where: string;
  /** @returns undefined where there is no such file */
  read(name: string): Promise<Uint8Array | undefined>;
}

function parse<T>(path: string, bytes: Uint8Array, schema: z.ZodType<T>): T {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new CheckpointError(`${path} is not valid JSON`, { hint: "Download or save it again.", cause });
  }
  const result = schema.safeParse(json);
  if (!result.success)
    throw new CheckpointError(`${path} does not look like a tokenizer's: ${z.prettifyError(result.error)}`, {
      hint: "Accrete reads the tokenizer.json and tokenizer_config.json that transformers saves.",
    });
  return result.data;
}

async function parseOptional<T>(
  { where, read }: TokenizerSource,
  name: string,
  schema: z.ZodType<T>,
): Promise<T | undefined> {
  const bytes = await read(name);
  return bytes === undefined ? undefined : parse(`${where}/${name}`, bytes, schema);
}

/** Names that sentence-transformers has given to the settings of its Transformer module. */
const sentenceConfigs = ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"].map(
  (name) => `sentence_${name}_config.json`,
);

async function readSentenceConfig(source: TokenizerSource) {
  for (const name of sentenceConfigs) {
    const config = await parseOptional(source, name, sentenceConfigSchema);
    if (config !== undefined) return { name, ...config };
  }
  return undefined;
}

const modelConfigSchema = z.looseObject({
  model_type: z.string().nullish(),
  tokenizer_class: z.string().nullish(),
});

interface Files {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly file: TokenizerFile;
  readonly config: TokenizerConfig;
  readonly addedTokens: Readonly<Record<string, number>>;
  readonly model: z.infer<typeof modelConfigSchema>;
  readonly sentence: Awaited<ReturnType<typeof readSentenceConfig>>;
}

async function readFiles(source: TokenizerSource): Promise<Files> {
  const { where } = source;
  const path = `${where}/tokenizer.json`;
  const bytes = await source.read("tokenizer.json");
  if (bytes === undefined)
    throw new CheckpointError(`${where} has no tokenizer.json`, {
      hint: `Save it with transformers: AutoTokenizer.from_pretrained("${where.split(/[\\/]/).at(-1)}").save_pretrained(folder).`,
    });
  const file = parse(path, bytes, tokenizerFileSchema);
  const own = await parseOptional(source, "tokenizer_config.json", tokenizerConfigSchema);
  const config = own ?? tokenizerConfigSchema.parse({});
  // transformers reads the older files only where tokenizer_config.json does not list its added tokens.
  const old = config.added_tokens_decoder === undefined;
  const map = old
    ? await parseOptional(source, "special_tokens_map.json", specialTokensMapSchema)
    : undefined;
  const named = Object.fromEntries(namedTokens.flatMap((name) => (map?.[name] ? [[name, map[name]]] : [])));
  return {
    path,
    bytes,
    file,
    config: { ...config, ...named },
    addedTokens:
      (old ? await parseOptional(source, "added_tokens.json", addedTokensSchema) : undefined) ?? {},
    model: (await parseOptional(source, "config.json", modelConfigSchema)) ?? {},
    sentence: await readSentenceConfig(source),
  };
}

/** Added tokens of the files beside, in the order of their ids. */
function tokensBeside({ file, config, addedTokens }: Files, names: ReadonlySet<string>): AddedToken[] {
  const { added_tokens_decoder: decoder } = config;
  const tokens =
    decoder === undefined
      ? file.added_tokens
      : Object.entries(decoder).map(([id, { normalized, ...token }]) => ({
          ...token,
          id: Number(id),
          normalized: normalized ?? !token.special,
        }));
  const known = new Set(tokens.map(({ content }) => content));
  const old = Object.entries(addedTokens)
    .filter(([content]) => !known.has(content))
    .map(([content, id]) => plainToken(content, id, names.has(content)));
  return [...tokens, ...old].toSorted((a, b) => a.id - b.id);
}

function plainToken(content: string, id: number, special: boolean): AddedToken {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: !special, special };
}

/** sentence-transformers puts a lower-casing step in front, unless one stands at the top already. */
function lowerCased(file: TokenizerFile): TokenizerFile {
  const { normalizer } = file;
  const parts = normalizer && Array.isArray(normalizer.normalizers) ? normalizer.normalizers : [normalizer];
  const known = parts.flatMap((part) => partSchema.safeParse(part).data ?? []);
  if (known.some(({ type }) => type === "Lowercase")) return file;
  return { ...file, normalizer: { type: "Sequence", normalizers: [{ type: "Lowercase" }, ...known] } };
}

/** The same for values that say the same: keys in order, none without a value. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(
          Object.entries(inner)
            .filter(([, each]) => each !== null && each !== false && each !== "")
            .toSorted(([a], [b]) => (a < b ? -1 : 1)),
        )
      : inner,
  );
}

/** A folder's tokenizer, ready to encode. */
export interface TokenizerParts {
  readonly path: string;
  readonly hash: string;
  readonly file: TokenizerFile;
  readonly config: TokenizerConfig;
  readonly names: Partial<Record<NamedToken, string>>;
  readonly paddingSide: "left" | "right";
  /** The longest text that the files beside allow; undefined where they set no bound. */
  readonly maxLength: number | undefined;
  readonly library: OfficialTokenizer;
  /** Another library, of the same tokens. */
  readonly loadLibrary: (file: TokenizerFile) => OfficialTokenizer;
  /** What was done otherwise than tokenizer.json says, one sentence each. */
  readonly notes: readonly string[];
}

/** Longer ones come from no model. */
const longestPattern = 10_000;

/** Regular expressions that a file brings. */
function* patternsIn(value: unknown): Generator<string> {
  if (value === null || typeof value !== "object") return;
  for (const [key, inner] of Object.entries(value))
    if (key === "Regex" && typeof inner === "string") yield inner;
    else yield* patternsIn(inner);
}

function openLibrary(path: string, file: TokenizerFile): OfficialTokenizer {
  const { normalizer, pre_tokenizer, post_processor, decoder } = file;
  const patterns = [...patternsIn([normalizer, pre_tokenizer, post_processor, decoder])];
  if (patterns.some((pattern) => pattern.length > longestPattern))
    throw new CheckpointError(`${path}: a pattern has more than ${longestPattern} characters`);
  try {
    return new OfficialTokenizer(JSON.stringify(file), patterns.length > 0);
  } catch (cause) {
    if (!(cause instanceof CheckpointError)) throw cause;
    throw new CheckpointError(`${path} cannot be used: ${cause.message}`, {
      hint: "Every tokenizer.json that transformers loads works: save it again with transformers.",
      cause,
    });
  }
}

/** Tokens that neither vocabulary nor added tokens hold would get ids that no model has a row for. */
function knownTokens(library: OfficialTokenizer, names: readonly string[]): AddedToken[] {
  return names.flatMap((content) => {
    const id = library.tokenToId(content);
    return id === undefined ? [] : [plainToken(content, id, true)];
  });
}

function layOutAsStands(file: TokenizerFile, config: TokenizerConfig): ClassLayout {
  const given = namedTokens.flatMap((name) => (config[name] ? [[name, config[name]]] : []));
  return { file, names: Object.fromEntries(given), paddingSide: "right", frame: undefined };
}

/** The post-processor of a class, where all its tokens have ids. */
function framed(layout: ClassLayout, library: OfficialTokenizer, path: string): TokenizerFile {
  if (layout.frame === undefined) return layout.file;
  const token = (name: NamedToken) => {
    const content = layout.names[name] ?? "";
    const id = library.tokenToId(content);
    if (id === undefined)
      throw new CheckpointError(`${path}: ${name} is ${JSON.stringify(content)}, which is no token`, {
        hint: `Name a token of the vocabulary in tokenizer_config.json, as "${name}".`,
      });
    return [content, id] as const;
  };
  return { ...layout.file, post_processor: layout.frame(token) };
}

function describeChange(before: TokenizerFile, after: TokenizerFile, className: string): string[] {
  const parts = ["normalizer", "pre_tokenizer", "post_processor"] as const;
  const changed = parts.filter((part) => canonical(before[part] ?? null) !== canonical(after[part] ?? null));
  if (changed.length === 0) return [];
  return [
    `The tokenizer is read as transformers 5 reads it, as a ${className}: its ${changed.join(" and ")} ${changed.length === 1 ? "differs" : "differ"} from what tokenizer.json says.`,
  ];
}

/** What the ids depend on beside tokenizer.json's own bytes. */
function hashOf(files: Files, effective: TokenizerFile, added: readonly AddedToken[]): string {
  const own = sha256(files.bytes);
  const shape = ({
    normalizer,
    pre_tokenizer,
    post_processor,
    model: { vocab, merges, ...model },
  }: TokenizerFile) => canonical({ normalizer, pre_tokenizer, post_processor, model });
  const listed = new Map(files.file.added_tokens.map((token) => [token.content, canonical(token)]));
  const changed = added.filter((token) => listed.get(token.content) !== canonical(token));
  const split = files.config.split_special_tokens === true;
  if (shape(files.file) === shape(effective) && changed.length === 0 && !split) return own;
  return sha256(`${own}\n${shape(effective)}\n${canonical(changed)}\n${split}`);
}

/**
 * Reads a model's `tokenizer.json` and what stands beside it: tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json, sentence_bert_config.json, and config.json for the class of tokenizer that goes with the model.
 * @throws CheckpointError if tokenizer.json is missing, or a file is damaged or of a kind that is not known
 */
export async function readTokenizer(source: TokenizerSource): Promise<TokenizerParts> {
  const files = await readFiles(source);
  const { path, file, config, model, sentence } = files;
  const declared = config.tokenizer_class ?? model.tokenizer_class ?? undefined;
  const className = chooseClass(file, declared, model.model_type ?? undefined);
  const layout =
    className === undefined ? layOutAsStands(file, config) : layOut(className, file, config, path);
  const beside = tokensBeside(files, new Set(Object.values(layout.names)));
  const add = (library: OfficialTokenizer) => {
    library.addTokens(beside);
    const taken = new Set(beside.map(({ content }) => content));
    const rest = [...new Set(Object.values(layout.names))].filter((content) => !taken.has(content));
    const named = knownTokens(library, rest);
    library.addTokens(named);
    library.splitSpecialTokens(config.split_special_tokens === true);
    return named;
  };
  const lowers = sentence?.do_lower_case === true;
  const base = lowers ? lowerCased(layout.file) : layout.file;
  const library = openLibrary(path, base);
  const named = add(library);
  const effective = framed({ ...layout, file: base }, library, path);
  if (layout.frame !== undefined) library.setPostProcessor(effective.post_processor);
  const loadLibrary = (changed: TokenizerFile) => {
    const other = openLibrary(path, changed);
    add(other);
    return other;
  };
  return {
    path,
    hash: hashOf(files, effective, [...beside, ...named]),
    file: effective,
    config,
    names: layout.names,
    paddingSide: config.padding_side ?? layout.paddingSide,
    maxLength: sentence?.max_seq_length ?? config.model_max_length ?? undefined,
    library,
    loadLibrary,
    notes: [
      ...(className === undefined ? [] : describeChange(file, framed(layout, library, path), className)),
      ...(lowers && base !== layout.file
        ? [`${sentence.name} says do_lower_case: texts are lower-cased before they are tokenised.`]
        : []),
    ],
  };
}
