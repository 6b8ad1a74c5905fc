import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { dataImageContent, type DataImageContent } from '../rig/data-image-content.ts';
import { dindImage } from '../rig/dind-image.ts';
import { startEngine } from '../rig/engine.ts';
import { must, PATH_WITH_SBIN } from '../rig/process.ts';
import { skip } from '../rig/skip.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { ARCH, BOARDS, startHomeAssistant, type HomeAssistant } from './boards.ts';
import { ROOT } from './external-tree.ts';

const HAOS = process.env['HAOS_DIR'];
const IMAGES = ['supervisor', 'dns', 'audio', 'cli', 'multicast', 'observer', 'core'];
/** What an engine leaves in its data root, which stowage scrubs. */
const LEFT_BY_ENGINE =
  /docker\/(?:containerd\/daemon\/io\.containerd\.grpc\.v1\.introspection|volumes|network|engine-id|buildkit) is left over/u;

/**
 * HAOS's scripts, unchanged, with a real engine, and stowage with no engine: what they bake of the same images is
 * compared file by file. The stand-ins on PATH give the scripts what is not there: the network (the same requests go
 * to loopback), and the rights of `--privileged` (stowage's own loader's will do).
 */
test("HAOS's own scripts and stowage make the same partition", async (t) => {
  if (HAOS === undefined) {
    skip(t, 'HAOS_DIR');
    return;
  }
  const board = BOARDS.find(({ name }) => name === 'generic_x86_64');
  assert.ok(board);
  const product = await startHomeAssistant(t);
  const dind = await dindImage();
  const engine = await startEngine(t);
  const dir = temporaryTree(t);
  const [work, downloads, out, bin] = ['work', 'dl', 'out', 'bin'].map((name) =>
    join(dir, name),
  ) as [string, string, string, string];
  for (const path of [join(work, 'images'), join(work, 'data'), downloads, out, bin])
    mkdirSync(path, { recursive: true });
  standIns(bin, product);
  const env = {
    PATH: `${bin}:${PATH_WITH_SBIN}`,
    HOME: dir,
    LC_ALL: 'C',
    DOCKER_HOST: engine.host,
  };

  // The steps of hassio.mk.
  const hassio = join(resolve(HAOS), 'buildroot-external', 'package', 'hassio');
  const versions = join(work, 'version.json');
  const url = 'https://version.home-assistant.io/stable.json';
  await must('sh', ['-c', `curl -s ${url} | jq '.core = "landingpage"' > ${versions}`], { env });
  const target = [ARCH[board.platform], board.machine, versions];
  for (const image of IMAGES)
    await must(
      join(hassio, 'fetch-container-image.sh'),
      [...target, image, downloads, join(work, 'images')],
      { env },
    );
  copyFileSync(join(hassio, 'dind-import-containers.sh'), join(work, 'dind-import-containers.sh'));
  const name = `docker:${dind.version}-dind`;
  await must(
    '/usr/bin/skopeo',
    [
      ...['--insecure-policy', 'copy', '--dest-daemon-host', engine.host],
      ...[`oci:${dind.layout}:${dind.name}`, `docker-daemon:${name}`],
    ],
    { deadline: 300_000 },
  );
  await must(join(hassio, 'create-data-partition.sh'), [work, out, 'stable', dind.version], {
    env,
    deadline: 300_000,
  });
  const theirs = join(out, 'data.ext4');

  const pins = join(dir, 'pins.json');
  const ours = join(dir, 'data.ext4');
  const bundle = join(ROOT, 'buildroot-external', 'bundles', 'home-assistant.yaml');
  const arguments_ = [
    ...['-b', bundle, '-p', pins, '-s', join(dir, 'store'), '--platform', board.platform],
    ...['--machine', board.machine, '--set', `versions=${product.versions}`],
    ...['--loader', 'direct'],
  ];
  for (const args of [
    ['fetch', ...arguments_, '--mirror', product.registry.host],
    ['build', ...arguments_, '-o', ours, '--size', '1280M'],
  ]) {
    const { code, stderr } = await runStowage(t, args);
    assert.equal(code, 0, stderr);
  }

  const baked = (image: string): Promise<DataImageContent> => dataImageContent(t, image);
  const [mine, other] = [await baked(ours), await baked(theirs)];
  assert.deepEqual(mine.names, other.names);
  assert.deepEqual(mine.blobs, other.blobs);
  assert.deepEqual(mine.snapshots, other.snapshots);
  // updater.json is the same JSON; jq writes it on three lines.
  const bytes = (files: string): string[] =>
    files.split('\n').map((line) => line.replace(/^(supervisor\/updater\.json 644 0:0).*/u, '$1'));
  assert.deepEqual(bytes(mine.files), bytes(other.files));
  const updater = async (image: string): Promise<unknown> =>
    JSON.parse(await must('debugfs', ['-R', 'cat supervisor/updater.json', image]));
  assert.deepEqual(await updater(ours), await updater(theirs));
  assert.equal(statSync(ours).size, statSync(theirs).size);
  for (const image of [ours, theirs])
    assert.match(await must('dumpe2fs', ['-h', image]), /^Filesystem volume name: +hassos-data$/mu);

  // What is left between them, as stowage sees it with its own pins.
  const { code, stderr } = await runStowage(t, ['verify', theirs, '-p', pins]);
  assert.equal(code, 3);
  const findings = stderr.split('\n').filter((line) => /^ {2}(?!hint)/u.test(line));
  assert.deepEqual(
    findings.filter((finding) => !LEFT_BY_ENGINE.test(finding)),
    ['  file supervisor/updater.json has 26 bytes instead of 21'],
  );
});

function standIns(bin: string, { registry, versions }: HomeAssistant): void {
  const registries = join(bin, 'registries.conf');
  writeFileSync(
    registries,
    `[[registry]]\nlocation = "ghcr.io"\n[[registry.mirror]]\nlocation = "${registry.host}"\ninsecure = true\n`,
  );
  const rights = readFileSync(join(ROOT, 'src', 'load', 'dind', 'rights.ts'), 'utf8');
  const capabilities = [...rights.matchAll(/^ {2}'([A-Z_]+)',$/gmu)].map(
    (match) => `--cap-add=${match[1] ?? ''}`,
  );
  const programs = {
    // All of the script's addresses are of one server.
    curl: `for word; do
  shift
  case $word in https://version.home-assistant.io/*) word=${versions}/\${word##*/} ;; esac
  set -- "$@" "$word"
done
exec /usr/bin/curl "$@"`,
    // inspect asks the registry itself for its tags, whatever mirrors there are.
    skopeo: `if [ "$1" = inspect ]; then
  exec /usr/bin/skopeo --insecure-policy inspect --tls-verify=false "$(echo "$2" | sed 's,ghcr.io,${registry.host},')"
fi
exec /usr/bin/skopeo --insecure-policy --registries-conf=${registries} "$@"`,
    docker: `docker=$(PATH=\${PATH#*:} command -v docker)
[ "$1 $2" = 'run --privileged' ] || exec "$docker" "$@"
shift 2
exec "$docker" run --cap-drop=ALL ${capabilities.join(' ')} \\
  --security-opt=apparmor=unconfined --security-opt=label=disable --network=none \\
  --tmpfs=/var/lib/docker --tmpfs=/run "$@" \\
  --exec-root=/run/docker --pidfile=/run/docker.pid --bridge=none --iptables=false --ip6tables=false`,
    // Keeps PATH, with the curl above; where the tests' user is not root it asks the real one.
    sudo: '[ "$(id -u)" = 0 ] && exec "$@"\nexec /usr/bin/sudo env "PATH=$PATH" "$@"',
  };
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
}
