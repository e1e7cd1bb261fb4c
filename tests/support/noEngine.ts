/** Stands in the engine's place for the unit project: whatever asks it for a session belongs to another project. */
function refuse(): never {
  throw new TypeError(
    "a unit test asks for the engine: name its file *.engine.test.ts or *.experiment.test.ts",
  );
}

export class Tensor {
  constructor() {
    refuse();
  }
}

export const InferenceSession = { create: refuse };
