/** The part of `fs-native-extensions` that is used; the package brings no types. */
declare module "fs-native-extensions" {
  /**
   * Takes the operating system's lock on a range of an open file, which ends when the file is closed.
   * @returns false where another open file has it
   */
  export function tryLock(
    fd: number,
    offset: number,
    length: number,
    options: { readonly shared: boolean },
  ): boolean;
}
