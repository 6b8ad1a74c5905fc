/**
 * What a device runs, in the words of Go (GOOS, GOARCH, and the variant of OCI image-spec
 * image-index.md, "platform"). Always normalised: arm64 has no variant unless it is not v8, arm always has one.
 */
export interface Platform {
  readonly os: 'linux';
  readonly arch: string;
  readonly variant?: string;
}
