import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeFailure } from '../../../src/report/describe-failure.ts';
import { exitCodeOf } from '../../../src/model/exit-code.ts';
import { fail, ok } from '../../../src/model/result.ts';
import type { Ask, EngineChoice, FoundEngine } from '../../../src/tools/find-engine.ts';
import { findEngine } from '../../../src/tools/find-engine.ts';

/** What a machine's programs answer, by how their command line begins; `says` is a failure's standard error. */
type Answers = Readonly<Record<string, string | { readonly says: string }>>;

const DOCKER: Answers = {
  'docker --version': 'Docker version 28.2.2, build e6534b4',
  'docker context inspect': 'unix:///var/run/docker.sock',
  'docker info': '{"ServerVersion":"28.2.2","SecurityOptions":["name=seccomp,profile=builtin"]}',
  'docker version': '{"Components":[{"Name":"Engine"}]}',
};
const PODMAN_INFO = '{"host":{"security":{"rootless":false}},"version":{"Version":"4.3.1"}}';
const PODMAN: Answers = {
  'podman --version': 'podman version 4.3.1',
  'podman info': PODMAN_INFO,
};
const NOT_RUNNING = {
  says: 'Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?',
};

function machine(answers: Answers, ran: string[] = []): Ask {
  return (tool, args) => {
    const line = [tool, ...args].join(' ');
    ran.push(line);
    if (!Object.keys(answers).some((start) => start.startsWith(`${tool} `)))
      return Promise.resolve(fail({ reason: 'command-missing', tool }));
    const key = Object.keys(answers).find((start) => line.startsWith(start));
    const answer = key === undefined ? '' : (answers[key] ?? '');
    return Promise.resolve(
      typeof answer === 'string'
        ? ok({ stdout: answer, stderr: '' })
        : fail({
            ...{ reason: 'command-failed' as const, tool, args },
            ...{ exitCode: 1, stdout: '', stderr: answer.says },
          }),
    );
  };
}

const used: readonly {
  readonly name: string;
  readonly answers: Answers;
  readonly choice?: Partial<EngineChoice>;
  readonly expected: Partial<FoundEngine>;
}[] = [
  {
    name: 'Docker goes first',
    answers: { ...DOCKER, ...PODMAN },
    expected: { command: 'docker', version: '28.2.2', remapsUsers: false },
  },
  {
    name: 'root has Podman alone',
    answers: PODMAN,
    expected: { command: 'podman', version: '4.3.1' },
  },
  {
    name: 'Docker does not run, and Podman does',
    answers: { ...DOCKER, 'docker info': NOT_RUNNING, ...PODMAN },
    expected: { command: 'podman', server: 'podman' },
  },
  {
    name: 'Podman is named',
    answers: { ...DOCKER, ...PODMAN },
    choice: { given: 'podman', dockerHost: 'unix:///x.sock' },
    expected: { command: 'podman' },
  },
  {
    name: 'CONTAINER_HOST leads to Podman, for everybody',
    answers: { ...DOCKER, ...PODMAN },
    choice: { containerHost: 'unix:///run/podman/podman.sock', isRoot: false },
    expected: { command: 'podman' },
  },
  {
    name: 'a path is named',
    answers: { '/opt/pod man --version': 'podman version 5.0.0', '/opt/pod man info': PODMAN_INFO },
    choice: { given: '/opt/pod man' },
    expected: { command: '/opt/pod man', client: 'podman', server: 'podman' },
  },
  {
    name: 'a command `docker` that is Podman',
    answers: { 'docker --version': 'podman version 4.9.4', 'docker info': PODMAN_INFO },
    expected: { command: 'docker', client: 'podman', server: 'podman' },
  },
  {
    name: "Docker's command before Podman's service",
    answers: {
      ...DOCKER,
      'docker info': '{"ServerVersion":"4.3.1"}',
      'docker version': '{"Components":[{"Name":"Podman Engine"},{"Name":"Conmon"}]}',
    },
    expected: { client: 'docker', server: 'podman', version: '4.3.1' },
  },
  {
    name: 'user IDs are shifted',
    answers: {
      ...DOCKER,
      'docker info': '{"ServerVersion":"28.2.2","SecurityOptions":["name=userns"]}',
    },
    expected: { remapsUsers: true },
  },
];

const refused: readonly {
  readonly name: string;
  readonly answers: Answers;
  readonly choice?: Partial<EngineChoice>;
  readonly message: RegExp;
  readonly hint: RegExp;
}[] = [
  {
    name: 'nothing is installed',
    answers: {},
    message: /^docker is not on this machine$/,
    hint: /install docker\.io/,
  },
  {
    name: 'nobody is at the DOCKER_HOST that was given: no Podman instead',
    answers: { ...DOCKER, 'docker info': NOT_RUNNING, ...PODMAN },
    choice: { dockerHost: 'unix:///x.sock' },
    message: /^no docker engine answers: Cannot connect/,
    hint: /systemctl start docker/,
  },
  {
    name: 'the socket is closed to this user',
    answers: {
      ...DOCKER,
      'docker info': { says: 'permission denied while trying to connect to the Docker daemon' },
    },
    message: /^no docker engine answers: permission denied/,
    hint: /join the group/,
  },
  {
    name: 'an old command ends with 0 all the same',
    answers: { ...DOCKER, 'docker info': '{"ServerErrors":["Cannot connect to the daemon"]}' },
    message: /^no docker engine answers: Cannot connect to the daemon$/,
    hint: /systemctl start docker/,
  },
  {
    name: 'the context does not exist',
    answers: { ...DOCKER, 'docker info': { says: 'context "x": context not found: open /x' } },
    message: /^no docker engine answers: context "x"/,
    hint: /DOCKER_HOST/,
  },
  {
    name: 'the engine is on another machine, even if it does not answer',
    answers: {
      ...DOCKER,
      'docker context inspect': 'tcp://10.0.0.1:2376',
      'docker info': NOT_RUNNING,
    },
    message: /speaks to is not on this machine \(tcp:\/\/10\.0\.0\.1:2376\)/,
    hint: /DOCKER_HOST=unix:\/\/\/var\/run\/docker\.sock/,
  },
  {
    name: 'CONTAINER_HOST is another machine',
    answers: PODMAN,
    choice: { containerHost: 'ssh://root@builder/run/podman/podman.sock' },
    message: /not on this machine \(ssh:/,
    hint: /CONTAINER_HOST=unix:\/\/\/run\/podman\/podman\.sock/,
  },
  {
    name: 'Docker runs rootless',
    answers: {
      ...DOCKER,
      'docker info': '{"ServerVersion":"28.2.2","SecurityOptions":["name=rootless"]}',
    },
    message: /^the docker engine runs rootless/,
    hint: /DOCKER_HOST=/,
  },
  {
    name: "an ordinary user's Podman is all there is",
    answers: PODMAN,
    choice: { isRoot: false },
    message: /^the podman engine runs rootless/,
    hint: /CONTAINER_HOST=/,
  },
  {
    name: "an ordinary user's Podman is named",
    answers: PODMAN,
    choice: { given: 'podman', isRoot: false },
    message: /^the podman engine runs rootless/,
    hint: /CONTAINER_HOST=/,
  },
  {
    name: "an ordinary user's Podman is named by its path",
    answers: {
      '/opt/podman --version': 'podman version 4.3.1',
      '/opt/podman info': PODMAN_INFO.replace('false', 'true'),
    },
    choice: { given: '/opt/podman', isRoot: false },
    message: /^the podman engine runs rootless/,
    hint: /CONTAINER_HOST=/,
  },
  {
    name: 'Docker Desktop',
    answers: {
      ...DOCKER,
      'docker info': '{"ServerVersion":"28.2.2","OperatingSystem":"Docker Desktop"}',
    },
    message: /^Docker Desktop runs its engine in a virtual machine/,
    hint: /docker context use default/,
  },
  {
    name: 'Docker is old',
    answers: { ...DOCKER, 'docker info': '{"ServerVersion":"19.03.15"}' },
    message: /version 19\.03\.15; needed is 20\.10$/,
    hint: /update it/,
  },
  {
    name: 'Podman is old',
    answers: { 'podman --version': 'podman version 3.0.1' },
    message: /version 3\.0\.1; needed is 3\.4$/,
    hint: /update it/,
  },
  {
    name: 'the Podman at CONTAINER_HOST is old',
    answers: { ...PODMAN, 'podman info': '{"version":{"Version":"3.0.1"}}' },
    choice: { containerHost: 'unix:///run/podman/podman.sock', isRoot: false },
    message: /version 3\.0\.1; needed is 3\.4$/,
    hint: /update it/,
  },
  {
    name: 'it is something else',
    answers: { 'nerdctl --version': 'nerdctl version 1.7.7' },
    choice: { given: 'nerdctl' },
    message:
      /^nerdctl is neither Docker nor Podman; as its version it says: nerdctl version 1\.7\.7$/,
    hint: /--engine docker/,
  },
];

describe('findEngine', () => {
  for (const { name, answers, choice, expected } of used)
    it(`finds one where ${name}`, async () => {
      const found = await findEngine({ isRoot: true, ...choice }, undefined, machine(answers));
      assert.ok(found.ok, JSON.stringify(found));
      assert.deepEqual({ ...found.value, ...expected }, found.value);
    });

  for (const { name, answers, choice, message, hint } of refused)
    it(`says what is wrong and what to do where ${name}`, async () => {
      const found = await findEngine({ isRoot: true, ...choice }, undefined, machine(answers));
      assert.ok(!found.ok, JSON.stringify(found));
      const text = describeFailure(found.failure);
      assert.match(text.message, message);
      assert.match(text.hint ?? '', hint);
      assert.equal(exitCodeOf(found.failure), 6);
    });

  for (const isRoot of [true, false])
    it(`runs nothing that would make Podman set up storage (${isRoot ? 'root' : 'ordinary user'})`, async () => {
      const ran: string[] = [];
      await findEngine({ isRoot }, undefined, machine(PODMAN, ran));
      assert.deepEqual(
        ran.filter((line) => line.startsWith('podman')),
        ['podman --version'],
      );
    });
});
