/** Why an archive can't be read on, and where. Thrown by the readers of this folder, for everything that input can do. */
export class TarError extends Error {
  constructor(
    /** A phrase, such as `the checksum of its header is wrong`. */
    readonly detail: string,
    /** Where in the unpacked archive, in bytes. */
    readonly offset: number,
    /** Name of the member that it is about, as far as it is known. */
    readonly entry?: Uint8Array,
  ) {
    super(`at byte ${offset}: ${detail}`);
  }
}
