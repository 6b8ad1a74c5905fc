import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { asRoot, must, PATH_WITH_SBIN, run, type Outcome } from '../rig/process.ts';
import type { User } from '../rig/unprivileged-user.ts';

/** The jobs of a GitHub workflow, done as far as a machine without GitHub can: each `run:` as it stands there. */
interface Workflow {
  readonly env?: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

interface Job {
  readonly env?: Readonly<Record<string, string>>;
  readonly strategy?: { readonly matrix: { readonly include: readonly Matrix[] } };
  readonly steps: readonly Step[];
}

interface Step {
  readonly name?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
}

export type Matrix = Readonly<Record<string, string>>;

export interface JobOptions {
  /** The repository, as it is checked out. */
  readonly project: string;
  /** Where uploaded artifacts are, by their names. */
  readonly artifacts: string;
  /** Where the job runs: does not exist yet. */
  readonly directory: string;
  readonly user: User;
  /** Instead of what the workflow's own `env:` says, as a user changes it. */
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
  readonly matrix?: Matrix;
  /** In a network name space of its own, where nothing is, loopback included. */
  readonly offline?: boolean;
}

export function readWorkflow(path: string): Workflow {
  return parse(readFileSync(path, 'utf8')) as Workflow;
}

/** What each of a job's runs is for; one without a matrix is run once. */
export function matrixOf(job: Job | undefined): readonly Matrix[] {
  return job?.strategy?.matrix.include ?? [];
}

/** Does the steps of a job in a clean directory. Ends with the first that fails, as GitHub does. */
export async function runJob(
  workflow: Workflow,
  name: string,
  options: JobOptions,
): Promise<Outcome> {
  const job = workflow.jobs[name];
  if (job === undefined) throw new Error(`there is no job ${name}`);
  const { directory, user } = options;
  await mkdir(directory, { recursive: true });
  await must(...asRoot('chown', [`${user.uid}:${user.gid}`, directory]));
  let said = '';
  for (const step of job.steps) {
    const outcome = await doStep(step, { ...workflow.env, ...options.env, ...job.env }, options);
    said += outcome.stdout + outcome.stderr;
    if (outcome.code !== 0) return { ...outcome, stderr: said };
  }
  return { code: 0, stdout: said, stderr: '' };
}

async function doStep(
  step: Step,
  env: Readonly<Record<string, string>>,
  options: JobOptions,
): Promise<Outcome> {
  const filled = (text: string): string => fill(text, options);
  if (step.uses !== undefined) return doAction(step, filled, options);
  if (step.run === undefined) throw new Error('a step with neither uses nor run');
  const all = Object.entries({ ...env, ...step.env });
  const environment = Object.fromEntries(all.map(([key, value]) => [key, filled(value)]));
  const script = join(options.directory, '.step.sh');
  await writeFile(script, filled(step.run));
  await must('chmod', ['a+r', script]);
  // What GitHub runs where a step names no shell.
  const shell = ['bash', '--noprofile', '--norc', '-eo', 'pipefail', script];
  return asUser(options, environment, shell);
}

/** Runs a program in the job's directory as its user, with an environment of its own. */
export function asUser(
  { user, directory, offline }: Pick<JobOptions, 'user' | 'directory' | 'offline'>,
  env: Readonly<Record<string, string>>,
  command: readonly string[],
): Promise<Outcome> {
  const all = { PATH: PATH_WITH_SBIN, HOME: user.home, LC_ALL: 'C.UTF-8', ...env };
  const [program, args] = asRoot('env', [
    ...['-C', directory, '-i', ...Object.entries(all).map(([key, value]) => `${key}=${value}`)],
    ...(offline === true ? ['unshare', '--net', '--'] : []),
    ...['setpriv', '--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups'],
    ...['--no-new-privs', '--', ...command],
  ]);
  return run(program, args, { deadline: 600_000 });
}

/** Expressions: those that the templates have, and no others. */
function fill(text: string, { matrix, secrets }: JobOptions): string {
  return text.replaceAll(/\$\{\{ *(.*?) *\}\}/gu, (_, expression: string) => {
    const [, kind, name = ''] = /^(matrix|secrets)\.(\w+)$/u.exec(expression) ?? [];
    if (kind === 'matrix' && matrix?.[name] !== undefined) return matrix[name];
    // A secret that is not set is empty.
    if (kind === 'secrets') return secrets[name] ?? '';
    throw new Error(`what is \${{ ${expression} }}?`);
  });
}

/** What the actions of GitHub do that a job here can see. Set-up is the machine's. */
async function doAction(
  step: Step,
  filled: (text: string) => string,
  { project, artifacts, directory, user }: JobOptions,
): Promise<Outcome> {
  const given = (name: string): string => {
    const value = step.with?.[name];
    if (typeof value !== 'string') throw new Error(`${step.uses ?? ''} without ${name}`);
    return filled(value);
  };
  const copy = (from: string, to: string): Promise<string> =>
    must(...asRoot('cp', ['-rT', from, to]));
  switch (step.uses?.replace(/@v\d+$/u, '')) {
    case 'actions/checkout':
      await copy(project, directory);
      break;
    case 'actions/setup-node':
    case 'actions/cache':
      break;
    case 'actions/upload-artifact':
      await copy(join(directory, given('path')), join(artifacts, given('name')));
      break;
    case 'actions/download-artifact':
      await copy(join(artifacts, given('name')), join(directory, given('path')));
      break;
    case undefined:
    default:
      throw new Error(`what does ${step.uses ?? ''} do?`);
  }
  await must(...asRoot('chown', ['-R', `${user.uid}:${user.gid}`, directory]));
  return { code: 0, stdout: '', stderr: '' };
}
