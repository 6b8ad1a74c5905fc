import type { EngineStore } from '../../model/bundle.ts';
import { IMAGE_MOUNT } from '../work-directory.ts';

/**
 * How the two daemons of an engine run in our container. containerd is started apart from dockerd, which would
 * look after one of its own only once a second when both are to stop. Only the one that keeps the images has its
 * root on the partition: with containerd's store dockerd's own files (engine-id, network and buildkit databases, …)
 * never get there, with overlay2 none of containerd's do.
 */

const RUN = '/stowage/run';
/** Where the container sees the directory below which the data image is mounted. */
export const PARTITIONS = '/stowage/mnt';
const PARTITION = `${PARTITIONS}/${IMAGE_MOUNT}`;
/** Made once the image is mounted; holds the name of a directory that must be there, or nothing. */
export const GO = 'go';
const SOCKET = '/run/stowage-containerd.sock';

export interface DaemonOptions {
  /** Relative to the partition's root. */
  readonly dataRoot: string;
  readonly store: EngineStore;
  /** False where images are kept packed: containerd then has nothing that it could unpack them with. */
  readonly unpack: boolean;
}

/** What is mounted as `/stowage/run`, by name: the script that `daemonArguments` start, and configurations. */
export function daemonFiles(options: DaemonOptions): Readonly<Record<string, string>> {
  const { dataRoot, store, unpack } = options;
  const path = `${PARTITION}/${dataRoot}`;
  // As dockerd places its own (moby, libcontainerd/supervisor): a device's dockerd must find it there.
  const root =
    store === 'containerd' ? `${path}/containerd/daemon` : '/run/stowage-containerd-root';
  // One snapshotter there must be; that it is not the one that dockerd asks for is what keeps images packed.
  const snapshotters = ALL_SNAPSHOTTERS.filter(
    (name) => name !== (unpack ? 'overlayfs' : 'native'),
  );
  const disabled = [...UNUSED_PLUGINS, ...snapshotters.map((name) => `${SNAPSHOTTER}.${name}`)];
  return {
    'start.sh': START,
    // Both are said outright: the defaults differ between versions, and 29 changed them.
    'daemon.json': JSON.stringify({
      features: { 'containerd-snapshotter': store === 'containerd' },
      ...(store === 'overlay2' ? { 'storage-driver': store, 'data-root': path } : {}),
    }),
    'containerd.toml': `version = 2
root = ${JSON.stringify(root)}
state = "/run/stowage-containerd"
disabled_plugins = ${JSON.stringify(disabled)}
[grpc]
address = "${SOCKET}"
`,
  };
}

/** For the container's shell; the socket belongs to group `gid`. */
export function daemonArguments(gid: number): string[] {
  return [
    `${RUN}/start.sh`,
    `--config-file=${RUN}/daemon.json`,
    `--containerd=${SOCKET}`,
    `--host=unix://${RUN}/docker.sock`,
    `--group=${gid}`,
    // Of the container's root, which is read-only, /run is what can be written; /var/run need not be the same.
    '--exec-root=/run/docker',
    '--pidfile=/run/docker.pid',
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
  ];
}

const SNAPSHOTTER = 'io.containerd.snapshotter.v1';

const ALL_SNAPSHOTTERS: readonly string[] =
  'blockfile btrfs devmapper erofs native overlayfs zfs'.split(' ');

/** They, and the other snapshotters, would look for devices and other programs, and make directories. */
const UNUSED_PLUGINS: readonly string[] = [
  'io.containerd.grpc.v1.cri',
  'io.containerd.internal.v1.opt',
  'io.containerd.nri.v1.nri',
];

/**
 * The first process of the container. It is started before there is an image, as that takes a while, and waits for it.
 * When it ends, the kernel kills the rest, so it ends last. SIGTERM stops
 * dockerd, then containerd; the exit code is not 0 where either did not stop well, or died.
 */
const START = `until [ -e ${RUN}/${GO} ]; do sleep 0.01; done
# Never beside the image: an engine outside of our container may see the mount point alone.
ls -d "${PARTITION}/$(cat ${RUN}/${GO})" >/dev/null || exit 1
containerd --config ${RUN}/containerd.toml --log-level warn &
containerd=$!
until [ -S ${SOCKET} ]; do
  kill -0 $containerd || exit 1
  sleep 0.01
done
dockerd "$@" &
dockerd=$!
trap 'kill $dockerd' TERM
# Without containerd, dockerd only waits for it.
while sleep 1; do kill -0 $containerd 2>/dev/null || kill $dockerd 2>/dev/null; done &
while kill -0 $dockerd 2>/dev/null; do
  wait $dockerd
  code=$?
done
kill $containerd
wait $containerd
containerd_code=$?
[ $containerd_code -eq 0 ] || exit $containerd_code
exit $code
`;
