import { GraphError } from "../core/errors.ts";
import * as op from "../graph/ops.ts";
import { sumDims } from "../graph/shape.ts";
import type { Node, OpKind, Value } from "../graph/types.ts";

/** What a rule may ask about the place it is applied at. */
export interface VjpContext {
  /** The gradient of the loss with respect to the first output. */
  gradient(): Value;
  /** Whether the gradient with respect to operand `index` is wanted; others may be left undefined. */
  wants(index: number): boolean;
}

/**
 * A vector–Jacobian product: from the gradients of a node's outputs to those of its operands, as more graph.
 * An operand's gradient has the operand's shape; undefined means "no gradient flows here".
 */
export type VjpRule<K extends OpKind> = (
  node: Node<K>,
  context: VjpContext,
) => readonly (Value | undefined)[];

/** Sums a gradient over the axes along which its operand was broadcast. */
function unbroadcast(gradient: Value, operand: Value): Value {
  const lead = gradient.shape.length - operand.shape.length;
  const axes: number[] = [];
  gradient.shape.forEach((dim, axis) => {
    if (axis < lead || (operand.shape[axis - lead] === 1 && dim !== 1)) axes.push(axis);
  });
  if (axes.length === 0) return gradient;
  const summed = op.reduceSum(gradient, axes, true);
  return lead === 0 ? summed : op.reshape(summed, operand.shape);
}

function operand(node: Node, index: number): Value {
  const value = node.inputs[index];
  if (value === undefined) throw new GraphError(`gradient of ${node.kind}: operand ${index} is missing`);
  return value;
}

function output(node: Node, index = 0): Value {
  const value = node.outputs[index];
  if (value === undefined) throw new GraphError(`gradient of ${node.kind}: output ${index} is missing`);
  return value;
}

/** A rule that needs the gradient g, the operand x and the result y of a function of one operand. */
function unary<K extends OpKind>(rule: (g: Value, x: Value, y: Value) => Value): VjpRule<K> {
  return (node, { gradient }) => [rule(gradient(), operand(node, 0), output(node))];
}

/** A rule of a function of two operands that broadcast; each side is built only where it is wanted. */
function binary<K extends OpKind>(
  left: (g: Value, a: Value, b: Value, y: Value) => Value,
  right: (g: Value, a: Value, b: Value, y: Value) => Value,
): VjpRule<K> {
  return (node, { gradient, wants }) => {
    const [a, b, y, g] = [operand(node, 0), operand(node, 1), output(node), gradient()];
    return [
      wants(0) ? unbroadcast(left(g, a, b, y), a) : undefined,
      wants(1) ? unbroadcast(right(g, a, b, y), b) : undefined,
    ];
  };
}

const noGradient = (): readonly undefined[] => [];

/** Operators that training graphs have no use for. */
const inferenceOnly = ({ kind }: Node): never => {
  throw new GraphError(`${kind} has no gradient`, { hint: "Build the training graph of plain operators." });
};

const meanOverLast = (x: Value, width: Value): Value => op.div(op.reduceSum(x, [-1], true), width);

function lastAxisSize(x: Value): number {
  const width = x.shape.at(-1);
  if (typeof width !== "number")
    throw new GraphError(`the last axis of a normalisation must have a fixed size, got ${width}`);
  return width;
}

/** Restores reduced axes as ones, so that a reduction's gradient broadcasts over what was reduced. */
function withReducedAxes(reduced: Value, x: Value, axes: readonly number[]): Value {
  const shape = x.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
  return op.reshape(reduced, shape);
}

const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);

export const vjpRules: { readonly [K in OpKind]: VjpRule<K> } = {
  input: noGradient,
  weight: noGradient,
  constant: noGradient,

  // d(−x) = −dx
  neg: unary((g) => op.neg(g)),
  // d(eˣ) = eˣ dx
  exp: unary((g, _, y) => op.mul(g, y)),
  // d(log x) = dx / x
  log: unary((g, x) => op.div(g, x)),
  // d(√x) = dx / (2√x)
  sqrt: unary((g, _, y) => op.div(op.mul(g, 0.5), y)),
  // d(1/x) = −dx / x²
  reciprocal: unary((g, _, y) => op.neg(op.mul(g, op.mul(y, y)))),
  // d(tanh x) = (1 − tanh² x) dx
  tanh: unary((g, _, y) => op.sub(g, op.mul(g, op.mul(y, y)))),
  // d(σ(x)) = σ(x)(1 − σ(x)) dx
  sigmoid: unary((g, _, y) => op.mul(op.mul(g, y), op.sub(op.scalar(1, y), y))),
  // d(relu x) = [x > 0] dx
  relu: unary((g, x) => op.where(op.greater(x, 0), g, op.scalar(0, g))),
  // d(erf x) = 2/√π · e^(−x²) dx
  erf: unary((g, x) => op.mul(g, op.mul(op.exp(op.neg(op.mul(x, x))), TWO_OVER_SQRT_PI))),
  // d(cos x) = −sin x dx
  cos: unary((g, x) => op.neg(op.mul(g, op.sin(x)))),
  // d(sin x) = cos x dx
  sin: unary((g, x) => op.mul(g, op.cos(x))),
  // d(x·Φ(x)) = (Φ(x) + x·φ(x)) dx = ½(1 + erf s + s·e^(ln(2/√π) − s²)) dx, s = x/√2
  gelu: unary((g, x) => {
    const s = op.mul(x, Math.SQRT1_2);
    const bell = op.mul(op.exp(op.sub(op.scalar(Math.log(TWO_OVER_SQRT_PI), x), op.mul(s, s))), s);
    return op.mul(g, op.mul(op.add(op.add(op.erf(s), bell), 1), 0.5));
  }),

  // d(a + b) = da + db
  add: binary(
    (g) => g,
    (g) => g,
  ),
  // d(a − b) = da − db
  sub: binary(
    (g) => g,
    (g) => op.neg(g),
  ),
  // d(a·b) = b da + a db
  mul: binary(
    (g, _, b) => op.mul(g, b),
    (g, a) => op.mul(g, a),
  ),
  // d(a/b) = da / b − (a/b) db / b
  div: binary(
    (g, _, b) => op.div(g, b),
    (g, _, b, y) => op.neg(op.div(op.mul(g, y), b)),
  ),
  // d max(a, b) = [a > b] da + [a ≤ b] db
  maximum: binary(
    (g, a, b) => op.where(op.greater(a, b), g, op.scalar(0, g)),
    (g, a, b) => op.where(op.greater(a, b), op.scalar(0, g), g),
  ),
  round: noGradient,
  equal: noGradient,
  greater: noGradient,
  // d where(c, a, b) = c da + (1 − c) db
  where: (node, { gradient, wants }) => {
    const [condition, a, b, g] = [operand(node, 0), operand(node, 1), operand(node, 2), gradient()];
    const zero = op.scalar(0, g);
    return [
      undefined,
      wants(1) ? unbroadcast(op.where(condition, g, zero), a) : undefined,
      wants(2) ? unbroadcast(op.where(condition, zero, g), b) : undefined,
    ];
  },
  // Between float types a cast is the identity; nothing flows through integers.
  cast: (node, { gradient }) => {
    const { dtype } = operand(node, 0);
    return dtype === "float32" || dtype === "float64" ? [op.cast(gradient(), dtype)] : [undefined];
  },

  // y = α·op(a)·op(b): da = α·g·op(b)ᵀ, db = α·op(a)ᵀ·g, each transposed back where its operand was
  matmul: (node, { gradient, wants }) => {
    const { transposeA, transposeB, alpha } = node.attributes;
    const [a, b, g] = [operand(node, 0), operand(node, 1), gradient()];
    const left = () =>
      transposeA
        ? op.matmul(b, g, { transposeA: transposeB, transposeB: true, alpha })
        : op.matmul(g, b, { transposeB: !transposeB, alpha });
    const right = () =>
      transposeB
        ? op.matmul(g, a, { transposeA: true, transposeB: transposeA, alpha })
        : op.matmul(a, g, { transposeA: !transposeA, alpha });
    // A matrix on the right of a batch gathers the gradient of every batch entry.
    const sharedRight = () => {
      const full = right();
      const lead = full.shape.length - b.shape.length;
      return lead === 0
        ? full
        : op.reduceSum(
            full,
            Array.from({ length: lead }, (_, axis) => axis),
          );
    };
    if (wants(0) && transposeA && a.shape.length !== b.shape.length)
      throw new GraphError("gradient of matmul: a transposed batch against a shared matrix is not supported");
    return [wants(0) ? left() : undefined, wants(1) ? sharedRight() : undefined];
  },
  // y = α·op(a)·op(b) + c: as matmul, and dc = g summed where c was broadcast
  gemm: (node, { gradient, wants }) => {
    const { transposeA, transposeB, alpha } = node.attributes;
    const [a, b, g] = [operand(node, 0), operand(node, 1), gradient()];
    const left = () =>
      transposeA
        ? op.gemm(b, g, { transposeA: transposeB, transposeB: true, alpha })
        : op.gemm(g, b, { transposeB: !transposeB, alpha });
    const right = () =>
      transposeB
        ? op.gemm(g, a, { transposeA: true, transposeB: transposeA, alpha })
        : op.gemm(a, g, { transposeA: !transposeA, alpha });
    const c = node.inputs[2];
    return [
      wants(0) ? left() : undefined,
      wants(1) ? right() : undefined,
      c !== undefined && wants(2) ? unbroadcast(g, c) : undefined,
    ];
  },

  // dx = g·Wᵀ, rounding taken for the identity (straight-through, Bengio, Léonard & Courville 2013).
  quantizedGemm: (node, { gradient, wants }) => {
    const { weight, transposed } = node.attributes;
    const c = node.inputs[1];
    return [
      wants(0) ? op.quantizedGemm(gradient(), transposed, weight) : undefined,
      c !== undefined && wants(1) ? unbroadcast(gradient(), c) : undefined,
    ];
  },

  // The inverse permutation.
  transpose: (node, { gradient }) => {
    const inverse: number[] = [];
    node.attributes.permutation.forEach((axis, i) => {
      inverse[axis] = i;
    });
    return [op.transpose(gradient(), inverse)];
  },
  reshape: (node, { gradient }) => [op.reshape(gradient(), operand(node, 0).shape)],
  expand: (node, { gradient }) => [unbroadcast(gradient(), operand(node, 0))],
  // Each operand takes its own part of the gradient.
  concat: (node, { gradient, wants }) => {
    const { axis } = node.attributes;
    const g = gradient();
    let start: number | string = 0;
    return node.inputs.map((value, i) => {
      const size = value.shape[axis] ?? 0;
      const from: number | string = start;
      start = sumDims(from, size);
      if (!wants(i)) return undefined;
      if (typeof from !== "number")
        throw new GraphError("gradient of concat: an operand after a symbolic one cannot be cut out");
      return op.slice(g, axis, from, start);
    });
  },
  slice: (node, { gradient }) => {
    const { axis, start } = node.attributes;
    return [op.pad(gradient(), axis, start, operand(node, 0).shape)];
  },
  pad: (node, { gradient }) => {
    const { axis, before } = node.attributes;
    return [op.slice(gradient(), axis, before, sumDims(operand(node, 0).shape[axis] ?? 0, before))];
  },
  // Rows that were read get the gradients of all their readers.
  gather: (node, { gradient, wants }) =>
    wants(0) ? [op.scatterAdd(operand(node, 1), gradient(), operand(node, 0).shape)] : [],
  scatterAdd: (node, { gradient }) => [undefined, op.gather(gradient(), operand(node, 0))],
  gatherElements: (node, { gradient }) => [
    op.scatterElementsAdd(operand(node, 1), gradient(), operand(node, 0).shape),
  ],
  scatterElementsAdd: (node, { gradient }) => [undefined, op.gatherElements(gradient(), operand(node, 0))],

  // d Σx = Σ dx: the gradient is repeated over what was summed
  reduceSum: (node, { gradient }) => {
    const x = operand(node, 0);
    return [op.expand(withReducedAxes(gradient(), x, node.attributes.axes), x.shape)];
  },
  // The gradient goes to the largest element; equal ones share it.
  reduceMax: (node, { gradient }) => {
    const x = operand(node, 0);
    const { axes } = node.attributes;
    const isMax = op.cast(op.equal(x, withReducedAxes(output(node), x, axes)), x.dtype);
    const share = op.div(isMax, op.reduceSum(isMax, axes, true));
    return [op.mul(share, withReducedAxes(gradient(), x, axes))];
  },
  // dx = y·(g − Σ g·y)
  softmax: unary((g, _, y) => op.mul(y, op.sub(g, op.reduceSum(op.mul(g, y), [-1], true)))),
  // dx = g − softmax(x)·Σ g
  logSoftmax: unary((g, _, y) => op.sub(g, op.mul(op.exp(y), op.reduceSum(g, [-1], true)))),
  // x̂ = (x − μ)/σ, h = γ·g: dx = (h − mean(h) − x̂·mean(h·x̂))/σ, dγ = Σ g·x̂, dβ = Σ g
  layerNorm: (node, { gradient, wants }) => {
    const [x, gamma, beta, g] = [operand(node, 0), operand(node, 1), operand(node, 2), gradient()];
    const [mean, inverseDeviation] = [output(node, 1), output(node, 2)];
    const normalised = op.mul(op.sub(x, mean), inverseDeviation);
    const toInput = () => {
      const width = op.scalar(lastAxisSize(x), g);
      const scaled = op.mul(g, gamma);
      const along = meanOverLast(op.mul(scaled, normalised), width);
      const centred = op.sub(op.sub(scaled, meanOverLast(scaled, width)), op.mul(normalised, along));
      return op.mul(centred, inverseDeviation);
    };
    return [
      wants(0) ? toInput() : undefined,
      wants(1) ? unbroadcast(op.mul(g, normalised), gamma) : undefined,
      wants(2) ? unbroadcast(g, beta) : undefined,
    ];
  },
  // x̂ = x/r, h = γ·g: dx = (h − x̂·mean(h·x̂))/r, dγ = Σ g·x̂
  rmsNorm: (node, { gradient, wants }) => {
    const [x, gamma, g] = [operand(node, 0), operand(node, 1), gradient()];
    const inverseRoot = output(node, 1);
    const normalised = op.mul(x, inverseRoot);
    const toInput = () => {
      const scaled = op.mul(g, gamma);
      const along = meanOverLast(op.mul(scaled, normalised), op.scalar(lastAxisSize(x), g));
      return op.mul(op.sub(scaled, op.mul(normalised, along)), inverseRoot);
    };
    return [
      wants(0) ? toInput() : undefined,
      wants(1) ? unbroadcast(op.mul(g, normalised), gamma) : undefined,
    ];
  },
  rotate: inferenceOnly,
  cachedAttention: inferenceOnly,
  stopGradient: noGradient,
};
