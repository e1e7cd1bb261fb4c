/** Every kind of adapter, in one table. */
import { noTransform } from "../nn/layers/layers.ts";
import { type AdapterGraph, type AdapterMethod, adaptNothing } from "./adapterMethod.ts";
import { loraMethod } from "./lora.ts";
import { promptTuningMethod } from "./promptTuning.ts";
import type { AdapterKind, AdapterSpec, AdapterSpecs } from "./types.ts";

const methods: { readonly [K in AdapterKind]: (spec: AdapterSpecs[K]) => AdapterMethod } = {
  lora: loraMethod,
  "prompt-tuning": promptTuningMethod,
};

const nothing = (): AdapterGraph => ({
  inputs: new Map(),
  shapes: [],
  transform: noTransform,
  overrides: new Map(),
});

/** The frozen backbone alone. */
const noAdapter: AdapterMethod = {
  virtualTokens: 0,
  build: nothing,
  buildStacked: nothing,
  sharedLayers: () => Number.POSITIVE_INFINITY,
  init: () => Promise.resolve(new Map()),
  adapt: adaptNothing,
  describe: () => ({}),
};

function methodOf<K extends AdapterKind>(adapter: {
  readonly kind: K;
  readonly spec: AdapterSpecs[K];
}): AdapterMethod {
  return methods[adapter.kind](adapter.spec);
}

/** @param adapter absent: the frozen backbone alone */
export function adapterMethod(adapter: AdapterSpec | undefined): AdapterMethod {
  return adapter === undefined ? noAdapter : methodOf(adapter);
}
