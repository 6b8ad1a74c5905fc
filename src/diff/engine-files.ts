/**
 * What engines make by themselves in their data roots, images or not: at a first start, or when a builder's engine has
 * filled them. Relative to the data root. docs/diff.md lists them, and a device makes them anew where they are missing
 * (moby: daemon/daemon.go, daemon/volumes, libnetwork, builder; containerd: its plugins' directories).
 */
const DIRECTORIES: readonly RegExp[] = [
  /^(?:buildkit|containers|image|network|plugins|runtimes|swarm|tmp|trust|volumes|rootfs)$/,
  /^buildkit\/(?:content|content\/ingest|executor|history_c8d|net|snapshots)$/,
  /^buildkit\/content\/blobs(?:\/sha256)?$/,
  /^image\/overlay2(?:\/(?:distribution|imagedb|layerdb)(?:\/.*)?)?$/,
  /^network\/files$/,
  /^plugins\/(?:storage|tmp)(?:\/.*)?$/,
  /^rootfs\/overlayfs$/,
  /^overlay2(?:\/l)?$/,
  /^containerd(?:\/daemon)?$/,
  /^(?:containerd\/daemon\/)?tmpmounts$/,
  /^(?:containerd\/daemon\/)?io\.containerd\.[a-z0-9.-]+$/,
  /^(?:containerd\/daemon\/)?io\.containerd\.content\.v1\.content\/(?:ingest|blobs)$/,
  /^(?:containerd\/daemon\/)?io\.containerd\.(?:grpc|runtime|sandbox|service|tracing|warning|mount-manager)[a-z0-9.-]*\/.*$/,
];

const FILES: readonly RegExp[] = [
  /^engine-id$/,
  /^buildkit\/(?:cache|history_c8d|history|metadata_v2|snapshots|containerdmeta|metadata)\.db$/,
  /^network\/files\/local-kv\.db$/,
  /^volumes\/(?:metadata\.db|backingFsBlockDev)$/,
  /^(?:containerd\/daemon\/)?io\.containerd\.grpc\.v1\.introspection\/uuid$/,
  /^(?:containerd\/daemon\/)?io\.containerd\.(?:snapshotter|mount-manager|metadata|sandbox)[a-z0-9.-]*\/[a-z-]+\.db$/,
];

/** `path` is relative to the data root. */
export function isEngineMade(path: string, type: string): boolean {
  return (type === 'directory' ? DIRECTORIES : FILES).some((pattern) => pattern.test(path));
}
