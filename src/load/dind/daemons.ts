/**
 * How the two daemons of an engine run in our container. containerd is started apart from dockerd, which would
 * look after one of its own only once a second when both are to stop; and so dockerd's own files (engine-id,
 * network and buildkit databases, …) never get onto the partition, where containerd alone writes.
 */

const RUN = '/stowage/run';
const SOCKET = '/run/stowage-containerd.sock';

/** What is mounted as `/stowage/run`, by name: the script that `daemonArguments` start, and configurations. */
export function daemonFiles(dataRoot: string): Readonly<Record<string, string>> {
  return {
    'start.sh': START,
    'daemon.json': JSON.stringify({ features: { 'containerd-snapshotter': true } }),
    // As dockerd places its own (moby, libcontainerd/supervisor): a device's dockerd must find it there.
    'containerd.toml': `version = 2
root = ${JSON.stringify(`/stowage/data/${dataRoot}/containerd/daemon`)}
state = "/run/stowage-containerd"
disabled_plugins = ${JSON.stringify(UNUSED_PLUGINS)}
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

/** They would look for devices and other programs, and make directories. */
const UNUSED_PLUGINS = [
  'io.containerd.grpc.v1.cri',
  'io.containerd.internal.v1.opt',
  'io.containerd.nri.v1.nri',
  ...['blockfile', 'btrfs', 'devmapper', 'erofs', 'native', 'zfs'].map(
    (name) => `io.containerd.snapshotter.v1.${name}`,
  ),
];

/**
 * The first process of the container: when it ends, the kernel kills the rest, so it ends last. SIGTERM stops
 * dockerd, then containerd; the exit code is not 0 where either did not stop well, or died.
 */
const START = `containerd --config ${RUN}/containerd.toml --log-level warn &
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
