import { GraphError } from "../core/errors.ts";

/**
 * A dimension: a number, or a symbol known only when the graph runs. Symbols are names (`"B"`), products
 * (`"B*T"`) and a symbol plus a constant (`"T+10"`), always in canonical form so that equality is `===`.
 */
export type Dim = number | string;
export type Shape = readonly Dim[];

export function formatShape(shape: Shape): string {
  return `(${shape.join(", ")})`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

interface Product {
  readonly factor: number;
  readonly symbols: readonly string[];
}

function factorise(dims: Shape): Product {
  let factor = 1;
  const symbols: string[] = [];
  for (const dim of dims) {
    if (typeof dim === "number") factor *= dim;
    else
      for (const part of dim.split("*")) {
        const literal = Number(part);
        if (Number.isInteger(literal)) factor *= literal;
        else symbols.push(part);
      }
  }
  return { factor, symbols: symbols.sort() };
}

/** The product of dimensions, e.g. `multiplyDims(["B", "T"]) === "B*T"`. */
export function multiplyDims(dims: Shape): Dim {
  const { factor, symbols } = factorise(dims);
  if (symbols.length === 0 || factor === 0) return factor;
  return [...(factor === 1 ? [] : [String(factor)]), ...symbols].join("*");
}

/** A product less one of its factors: `divideDim("B*T", "B") === "T"`. @throws GraphError if it is no factor. */
export function divideDim(dim: Dim, by: Dim): Dim {
  const rest = factorise([dim]);
  const divisor = factorise([by]);
  const symbols = [...rest.symbols];
  for (const symbol of divisor.symbols) {
    const at = symbols.indexOf(symbol);
    if (at < 0) throw new GraphError(`${by} is no factor of ${dim}`);
    symbols.splice(at, 1);
  }
  const factor = rest.factor / divisor.factor;
  if (!Number.isInteger(factor)) throw new GraphError(`${by} is no factor of ${dim}`);
  return multiplyDims([factor, ...symbols]);
}

/** A dimension plus a constant: `addDims("T", 10) === "T+10"`. @throws GraphError if it is a product. */
export function addDims(dim: Dim, constant: number): Dim {
  if (typeof dim === "number") return dim + constant;
  if (constant === 0) return dim;
  if (dim.includes("*"))
    throw new GraphError(`cannot add ${constant} to the product ${dim}`, {
      hint: "a sum is written of a single symbol; reshape the product into its factors first",
    });
  const [base = dim, offset = "0"] = dim.split("+");
  const total = Number(offset) + constant;
  return total === 0 ? base : `${base}+${total}`;
}

/** The sum of two dimensions of which at most one is symbolic. @throws GraphError if both are. */
export function sumDims(a: Dim, b: Dim): Dim {
  if (typeof b === "number") return addDims(a, b);
  if (typeof a === "number") return addDims(b, a);
  throw new GraphError(`cannot add the symbolic dimensions ${a} and ${b}`, {
    hint: "give one of them a fixed size",
  });
}

/** Splits a symbolic dimension into its symbols and numbers; used to compute it at run time. */
export function dimFactors(dim: string): readonly { readonly symbol?: string; readonly offset: number }[] {
  return dim.split("*").map((part) => {
    const literal = Number(part);
    if (Number.isInteger(literal)) return { offset: literal };
    const [symbol = part, offset = "0"] = part.split("+");
    return { symbol, offset: Number(offset) };
  });
}

/** The value of a dimension once its symbols are bound. */
export function evaluateDim(dim: Dim, bindings: ReadonlyMap<string, number>): number {
  if (typeof dim === "number") return dim;
  let value = 1;
  for (const { symbol, offset } of dimFactors(dim)) {
    const bound = symbol === undefined ? 0 : bindings.get(symbol);
    if (bound === undefined) throw new GraphError(`dimension ${dim}: ${symbol} is not bound by any input`);
    value *= bound + offset;
  }
  return value;
}

/** NumPy's broadcasting on symbolic shapes: equal, or one of them the literal 1. */
export function broadcastShapes(where: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  const result: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1)
      throw new GraphError(`${where}: shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast`);
    result.push(x === 1 ? y : x);
  }
  return result;
}

/** Whether two shapes hold the same number of elements, whatever their symbols turn out to be. */
export function sameSize(a: Shape, b: Shape): boolean {
  return multiplyDims(a) === multiplyDims(b);
}

/** Axis counted from the end where negative. @throws GraphError if out of range. */
export function normaliseAxis(where: string, axis: number, rank: number): number {
  const result = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || result < 0 || result >= rank)
    throw new GraphError(`${where}: axis ${axis} is out of range for rank ${rank}`);
  return result;
}
