/**
 * Node's own modules where there is Node; in a browser undefined. Modules that run in both ask here, so that none of them
 * imports one.
 */
type GetBuiltin = typeof process.getBuiltinModule;

function find(): GetBuiltin | undefined {
  if (typeof process === "undefined" || typeof process.getBuiltinModule !== "function") return undefined;
  return (id: string) => process.getBuiltinModule(id);
}

export const builtinModule: GetBuiltin | undefined = find();
