import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Context } from '../../../src/model/event.ts';
import type { Finding, MachineNeeds } from '../../../src/report/doctor.ts';
import { rootCommands } from '../../../src/tools/mount.ts';
import { examineMachine } from '../../../src/report/doctor.ts';
import type { Answer, Machine } from '../../../src/report/machine.ts';

const context: Context = { report: () => undefined, signal: new AbortController().signal };

interface Traits {
  readonly programs: readonly string[];
  /** What a command line that begins so answers; others succeed and say nothing. */
  readonly answers: Readonly<Record<string, Partial<Answer>>>;
  readonly paths: readonly string[];
  readonly modules: readonly string[];
  readonly fileSystems: string;
  readonly free: number;
  readonly readOnly: readonly string[];
  readonly node: string;
  readonly root: boolean;
}

const HEALTHY: Traits = {
  programs: [
    ...['skopeo', 'docker', 'sudo', 'mount', 'umount', 'apt-get'],
    ...['mke2fs', 'e2fsck', 'resize2fs', 'debugfs', 'dumpe2fs'],
  ],
  answers: {
    'skopeo --version': { stdout: 'skopeo version 1.13.3\n' },
    'e2fsck -V': { stderr: 'e2fsck 1.47.0 (5-Feb-2023)\n' },
    'docker --version': { stdout: 'Docker version 28.5.2, build abc\n' },
    'docker context inspect': { stdout: 'unix:///var/run/docker.sock\n' },
    'docker info': { stdout: '{"ServerVersion":"28.5.2"}\n' },
    'docker version': { stdout: '{"Version":"28.5.2"}\n' },
  },
  paths: ['/', '/out', '/dev/loop-control'],
  modules: [],
  fileSystems: 'nodev\tsysfs\n\text4\nnodev\toverlay\n',
  free: 10 * 2 ** 30,
  readOnly: [],
  node: '20.19.0',
  root: false,
};

const ran: string[] = [];

function machine(changes: Partial<Traits>): Machine {
  const traits = { ...HEALTHY, ...changes };
  ran.length = 0;
  return {
    nodeVersion: traits.node,
    isRoot: traits.root,
    findProgram: (tool) => {
      if (!traits.programs.includes(tool)) return undefined;
      return tool.includes('/') ? tool : `/usr/bin/${tool}`;
    },
    run: (tool, args) => {
      const line = [tool, ...args].join(' ');
      ran.push(line);
      const answers = { ...HEALTHY.answers, ...changes.answers };
      const key = Object.keys(answers)
        .sort((a, b) => b.length - a.length)
        .find((start) => line.startsWith(start));
      const answer = key === undefined ? {} : answers[key];
      return Promise.resolve({ exitCode: 0, stdout: '', stderr: '', ...answer });
    },
    exists: (path) => Promise.resolve(traits.paths.includes(path)),
    isWritable: (path) => Promise.resolve(!traits.readOnly.includes(path)),
    readText: (path) =>
      Promise.resolve(path === '/proc/filesystems' ? traits.fileSystems : undefined),
    freeBytes: () => Promise.resolve(traits.free),
    hasModule: (name) => Promise.resolve(traits.modules.includes(name)),
  };
}

const BUILD: MachineNeeds = {
  loader: 'dind',
  output: '/out/images/data.ext4',
  store: '/dl/store',
  neededBytes: 2 ** 30,
};

function examine(changes: Partial<Traits>, needs: MachineNeeds = BUILD): Promise<Finding[]> {
  return examineMachine(needs, context, machine(changes));
}

async function lacks(changes: Partial<Traits>, needs?: MachineNeeds): Promise<Finding[]> {
  return (await examine(changes, needs)).filter((finding) => !finding.ok);
}

describe('examineMachine', () => {
  it('finds nothing amiss where everything is there, and runs nothing as root', async () => {
    const findings = await examine({});
    assert.deepEqual(
      findings.map(({ what, ok }) => [what, ok]),
      [
        'Node.js',
        'skopeo',
        'e2fsprogs',
        'container engine',
        'loop devices',
        'ext4 file system',
        'overlay file system',
        'sudo mount --bind',
        'sudo mount -t ext4',
        'sudo mount --make-private',
        'sudo umount',
        'space for the output',
        'space for the store',
      ].map((what) => [what, true]),
    );
    for (const line of ran.filter((started) => started.startsWith('sudo')))
      assert.match(line, /^sudo -n -l \/usr\/bin\/u?mount /);
    assert.ok(findings.every((finding) => finding.remedy === undefined));
  });

  it('asks only for what is needed', async () => {
    const names = async (needs: MachineNeeds): Promise<string[]> =>
      (await examine({}, needs)).map((finding) => finding.what);
    assert.deepEqual(await names({}), ['Node.js', 'skopeo']);
    assert.deepEqual(await names({ network: false, verify: true }), ['Node.js', 'e2fsprogs']);
    assert.ok(!(await names({ network: false, loader: 'dind' })).includes('skopeo'));
    assert.deepEqual(await lacks({ programs: ['e2fsck'] }, { network: false, verify: true }), []);
  });

  const without = (...tools: string[]): readonly string[] =>
    HEALTHY.programs.filter((program) => !tools.includes(program));

  const cases: readonly (readonly [string, Partial<Traits>, string, RegExp, string])[] = [
    [
      'old Node',
      { node: '18.20.4' },
      'Node.js',
      /18\.20\.4, needed is 20\.19/,
      'sudo apt-get install -y nodejs',
    ],
    [
      'no skopeo',
      { programs: without('skopeo') },
      'skopeo',
      /missing/,
      'sudo apt-get install -y skopeo',
    ],
    [
      'no skopeo on Fedora',
      { programs: [...without('skopeo', 'apt-get'), 'dnf'] },
      'skopeo',
      /missing/,
      'sudo dnf install -y skopeo',
    ],
    [
      'old skopeo',
      { answers: { 'skopeo --version': { stdout: 'skopeo version 1.4.1' } } },
      'skopeo',
      /version 1\.4, needed is 1\.9/,
      'sudo apt-get install -y skopeo',
    ],
    [
      'no docker',
      { programs: without('docker') },
      'container engine',
      /docker is missing/,
      'sudo apt-get install -y docker.io',
    ],
    [
      'no permission on the socket',
      {
        answers: {
          'docker info': { exitCode: 1, stderr: 'permission denied while trying to connect' },
        },
      },
      'container engine',
      /no docker engine answers: permission denied/,
      'sudo usermod -aG docker "$USER" && newgrp docker',
    ],
    [
      'no daemon',
      { answers: { 'docker info': { exitCode: 1, stderr: 'Cannot connect to the daemon' } } },
      'container engine',
      /no docker engine answers: Cannot connect/,
      'sudo systemctl start docker',
    ],
    [
      'an engine on another machine',
      { answers: { 'docker context inspect': { stdout: 'ssh://builder@example.org\n' } } },
      'container engine',
      /not on this machine \(ssh:\/\/builder@example\.org\)/,
      'export DOCKER_HOST=unix:///var/run/docker.sock',
    ],
    [
      'a rootless engine',
      {
        answers: {
          'docker info': {
            stdout: '{"ServerVersion":"28.5.2","SecurityOptions":["name=rootless"]}',
          },
        },
      },
      'container engine',
      /runs rootless/,
      'export DOCKER_HOST=unix:///var/run/docker.sock',
    ],
    [
      'an ordinary user with Podman alone',
      {
        programs: [...without('docker'), 'podman'],
        answers: { 'podman --version': { stdout: 'podman version 4.3.1\n' } },
      },
      'container engine',
      /podman engine runs rootless/,
      'sudo systemctl start podman.socket && export CONTAINER_HOST=unix:///run/podman/podman.sock',
    ],
    [
      'an engine that is too old',
      { answers: { 'docker info': { stdout: '{"ServerVersion":"19.03.15"}' } } },
      'container engine',
      /version 19\.03\.15; needed is 20\.10/,
      'sudo apt-get install -y docker.io',
    ],
    [
      'no loop module',
      { paths: ['/'], modules: ['loop'] },
      'loop devices',
      /not loaded/,
      'sudo modprobe loop',
    ],
    ['no loop device', { paths: ['/'] }, 'loop devices', /in a container/, 'sudo modprobe loop'],
    [
      'no overlay',
      { fileSystems: '\text4\n' },
      'overlay file system',
      /does not have it/,
      'sudo modprobe overlay',
    ],
    [
      'no e2fsprogs',
      { programs: without('mke2fs') },
      'e2fsprogs',
      /mke2fs is missing/,
      'sudo apt-get install -y e2fsprogs',
    ],
    [
      'old e2fsprogs',
      { answers: { 'e2fsck -V': { stderr: 'e2fsck 1.42.13 (17-May-2015)' } } },
      'e2fsprogs',
      /1\.42, needed is 1\.43/,
      'sudo apt-get install -y e2fsprogs',
    ],
    [
      'no rule for mount',
      {
        answers: {
          'sudo -n -l /usr/bin/mount -t': { exitCode: 1, stderr: 'sudo: a password is required' },
        },
      },
      'sudo mount -t ext4',
      /a password is required/,
      String.raw`echo "$USER ALL=(root) NOPASSWD: /usr/bin/mount "'^-t ext4 -o loop\,nosuid\,nodev\,noexec\,nobarrier /[^ ]+\.stowage/data\.ext4 /[^ ]+\.stowage/mnt/data$' | sudo tee -a /etc/sudoers.d/stowage && sudo chmod 0440 /etc/sudoers.d/stowage`,
    ],
    ['no sudo', { programs: without('sudo') }, 'sudo', /missing/, 'sudo apt-get install -y sudo'],
    [
      'too little space',
      { free: 2 ** 20 },
      'space for the output',
      /1\.0 MB are free in \/out, needed are 1\.1 GB/,
      'du -xh --max-depth=1 /out | sort -h',
    ],
    [
      'an output nobody may write',
      { readOnly: ['/out'] },
      'space for the output',
      /can't be written/,
      'sudo chown "$USER" /out',
    ],
  ];
  for (const [name, changes, what, detail, remedy] of cases)
    it(`names the lack and the remedy: ${name}`, async () => {
      const found = await lacks(changes);
      assert.deepEqual(
        found.map((finding) => [finding.what, finding.remedy]),
        [[what, remedy]],
      );
      assert.match(found[0]?.detail ?? '', detail);
    });

  it('takes a module that can be loaded for a file system that is there', async () => {
    assert.deepEqual(await lacks({ fileSystems: '', modules: ['ext4', 'overlay'] }), []);
  });

  it('lets a store be read-only, and root do without sudo', async () => {
    assert.deepEqual(await lacks({ readOnly: ['/'] }), []);
    assert.deepEqual(await lacks({ root: true, programs: without('sudo') }), []);
  });

  it('looks at the real machine', async () => {
    const findings = await examineMachine(
      { ...BUILD, output: '/tmp/data.ext4', store: '/tmp' },
      context,
    );
    for (const what of ['Node.js', 'skopeo', 'e2fsprogs', 'space for the output'])
      assert.equal(findings.find((finding) => finding.what === what)?.ok, true, what);
    for (const finding of findings) assert.equal(finding.ok, finding.remedy === undefined);
  });
});

it('the sudoers lines that doctor proposes are those of docs/security.md', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/security.md'), 'utf8');
  for (const { tool, rule } of rootCommands('/out/images'))
    assert.ok(
      page.includes(`\nbuilder ALL=(root) NOPASSWD: /usr/bin/${tool} ${rule}\n`),
      `${tool} ${rule}`,
    );
});
