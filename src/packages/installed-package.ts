/** A package as its manager has written it down in an image. Texts are as they are there, and may be anything. */
export interface InstalledPackage {
  readonly manager: Manager;
  readonly name: string;
  /** Of rpm `epoch:version-release`, the epoch only where there is one. */
  readonly version: string;
  /** In the manager's words: `amd64`, `x86_64`, `noarch`. */
  readonly architecture?: string;
  /** What tells it from others that are installed beside it: the name, and the architecture where there may be several. */
  readonly key: string;
  /** A licence expression, or whatever the packager has put there. */
  readonly license?: string;
  /** `Name <address>`. */
  readonly maintainer?: string;
  /** Who distributes it: rpm's vendor. */
  readonly vendor?: string;
  /** What it was built from. */
  readonly source?: { readonly name: string; readonly version?: string };
  readonly homepage?: string;
  /** One line. */
  readonly summary?: string;
}

export type Manager = 'dpkg' | 'apk' | 'rpm';

/** Without what is undefined or empty, as optional properties want it. */
export function withoutEmpty<T extends object>(
  values: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined && value !== ''),
  ) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
