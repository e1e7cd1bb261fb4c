/**
 * Where special tokens go: the post-processor of a `tokenizer.json`, compiled to two templates. The library has
 * its own, but it works on whole texts; truncation has to come between tokenising and this. (It also gives the
 * second text of RoBERTa's pairs type 1, where Rust gives 0.)
 */
import { z } from "zod";
import { CheckpointError } from "../../core/errors.ts";

export type Piece =
  | { readonly kind: "special"; readonly ids: readonly number[]; readonly typeId: number }
  | { readonly kind: "sequence"; readonly sequence: "A" | "B"; readonly typeId: number };

export interface Templates {
  readonly single: readonly Piece[];
  readonly pair: readonly Piece[];
}

const tokenSchema = z.tuple([z.string(), z.number()]);
const pieceSchema = z.union([
  z.object({ SpecialToken: z.object({ id: z.string(), type_id: z.number() }) }),
  z.object({ Sequence: z.object({ id: z.enum(["A", "B"]), type_id: z.number() }) }),
]);
const templateSchema = z.object({
  type: z.literal("TemplateProcessing"),
  single: z.array(pieceSchema),
  pair: z.array(pieceSchema),
  special_tokens: z.record(z.string(), z.object({ ids: z.array(z.number()) })),
});
const postProcessorSchema = z.discriminatedUnion("type", [
  templateSchema,
  z.object({ type: z.literal("BertProcessing"), sep: tokenSchema, cls: tokenSchema }),
  z.object({ type: z.literal("RobertaProcessing"), sep: tokenSchema, cls: tokenSchema }),
  z.object({ type: z.literal("ByteLevel") }),
  z.object({
    type: z.literal("Sequence"),
    get processors() {
      return z.array(postProcessorSchema);
    },
  }),
]);
type PostProcessor = z.infer<typeof postProcessorSchema>;

const sequence = (name: "A" | "B", typeId: number): Piece => ({ kind: "sequence", sequence: name, typeId });
const special = (id: number, typeId: number): Piece => ({ kind: "special", ids: [id], typeId });

const plain: Templates = { single: [sequence("A", 0)], pair: [sequence("A", 0), sequence("B", 1)] };

function compilePieces(processor: z.infer<typeof templateSchema>, pair: boolean): Piece[] {
  return (pair ? processor.pair : processor.single).map((piece): Piece => {
    if ("Sequence" in piece) return sequence(piece.Sequence.id, piece.Sequence.type_id);
    const { id, type_id } = piece.SpecialToken;
    return { kind: "special", ids: processor.special_tokens[id]?.ids ?? [], typeId: type_id };
  });
}

function compile(processor: PostProcessor): Templates | undefined {
  switch (processor.type) {
    case "TemplateProcessing":
      return { single: compilePieces(processor, false), pair: compilePieces(processor, true) };
    case "BertProcessing": {
      const cls = special(processor.cls[1], 0);
      const sep = processor.sep[1];
      const single = [cls, sequence("A", 0), special(sep, 0)];
      return { single, pair: [...single, sequence("B", 1), special(sep, 1)] };
    }
    case "RobertaProcessing": {
      const cls = special(processor.cls[1], 0);
      const sep = special(processor.sep[1], 0);
      const single = [cls, sequence("A", 0), sep];
      return { single, pair: [...single, sep, sequence("B", 0), sep] };
    }
    case "ByteLevel":
      // Moves offsets only.
      return undefined;
    case "Sequence":
      return processor.processors.map(compile).find((templates) => templates !== undefined);
  }
}

/** @throws CheckpointError for a kind of post-processor that is not known */
export function compileTemplates(path: string, postProcessor: unknown): Templates {
  if (postProcessor === null || postProcessor === undefined) return plain;
  const result = postProcessorSchema.safeParse(postProcessor);
  if (!result.success)
    throw new CheckpointError(`${path}: post_processor is not known: ${z.prettifyError(result.error)}`, {
      hint: "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel and sequences of them are.",
    });
  return compile(result.data) ?? plain;
}
