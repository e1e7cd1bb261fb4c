/** What Node has of WebAssembly, as far as it is used here; TypeScript declares it among a browser's types only. */
declare namespace WebAssembly {
  class Memory {
    readonly buffer: ArrayBuffer;
    /** @param pages of 64 KiB */
    grow(pages: number): number;
    private constructor();
  }
  class Module {
    constructor(bytes: Uint8Array);
    static imports(module: Module): readonly object[];
  }
  class Instance {
    constructor(module: Module, imports?: Record<string, never>);
    readonly exports: Record<string, unknown>;
  }
  class RuntimeError extends Error {}
  function compile(bytes: Uint8Array): Promise<Module>;
}
