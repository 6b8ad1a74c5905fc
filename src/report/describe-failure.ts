import type { Position } from '../model/bundle.ts';
import { formatSize } from '../model/bundle-size.ts';
import type {
  DocumentProblem,
  Failure,
  InvalidDocument,
  NoSpace,
  PinsPlace,
  ToolFailed,
} from '../model/failure.ts';
import { describeUnsuitable, describeWayIn } from './describe-engine.ts';
import { unreachable } from '../model/result.ts';
import { describeTemporary, temporaryHint } from './describe-network.ts';
import { fileSystemHint } from './file-system-hint.ts';

/** One failure for people: what failed, on what, why (several lines where it must be), and what to do next. */
export interface FailureText {
  readonly message: string;
  readonly hint?: string;
}

/** The only place where failures become prose. */
export function describeFailure(failure: Failure): FailureText {
  switch (failure.reason) {
    case 'usage':
      return { message: failure.detail, hint: 'stowage --help, stowage COMMAND --help' };
    case 'invalid-option':
      return {
        message:
          failure.value === ''
            ? `${failure.option} is not given, or empty: expected ${failure.expected}`
            : `${failure.option} ${quote(failure.value)} can't be: expected ${failure.expected}`,
      };
    case 'invalid-document':
      return {
        message: lines(
          failure.problems.map((problem) => `${failure.file}${describeProblem(problem)}`),
        ),
        hint: documentHint(failure),
      };
    case 'bundles-disagree':
      return {
        message: `${failure.path} is one thing in ${failure.files[0]} and another in ${failure.files[1]}`,
        hint: 'rename one of them, or take it out of one of the files',
      };
    case 'unknown-platform':
      return {
        message: `${failure.option ?? '--platform'} ${quote(failure.given)} is no platform`,
        hint: 'give one such as linux/amd64, linux/arm64, linux/arm/v7, aarch64, armv7 or riscv64',
      };
    case 'no-pins':
      return {
        message: `there are no pins: ${failure.file} does not exist${lacking(failure.images)}`,
        hint: `run \`stowage pin -p ${failure.file}\` with the bundle and platform${withoutUpdate(failure)}`,
      };
    case 'pins-stale': {
      const { file, target, differences, edited = [] } = failure;
      return {
        message: lines([
          ...edited.map(
            ({ line, detail }) => `${file}${line === undefined ? '' : `:${line}`}: ${detail}`,
          ),
          ...(differences.length === 0
            ? []
            : [`${file} is not of this bundle any more (target ${target}):`]),
          ...differences.map((difference) => `  ${difference}`),
        ]),
        hint:
          edited.length === 0
            ? 'run `stowage pin` again and review what changes'
            : 'restore the file; or if the reference was moved on purpose, run `stowage pin` again and review what changes',
      };
    }
    case 'target-not-pinned':
      return {
        message: `${failure.file} has no pins for ${failure.wanted}; it has: ${list(failure.pinned)}`,
        hint: `run \`stowage pin\` with this --platform, --machine and --set${withoutUpdate(failure)}, or choose one that is there`,
      };
    case 'target-ambiguous':
      return {
        message: `${failure.file} has pins for several targets: ${list(failure.pinned)}`,
        hint: 'choose one with --platform, --machine and --set',
      };
    case 'into-refused':
      return {
        message: lines([
          `nothing can be added to ${failure.image} as it is:`,
          ...failure.conflicts.map((conflict) => `  ${conflict}`),
        ]),
        hint: 'give them other names in the bundle, or build without --into',
      };
    case 'output-in-use':
      return {
        message: `${failure.output} is in use: ${failure.by.join('; ')}`,
        hint: 'unmount it (`sudo umount …`, `sudo losetup -d …`) and run again',
      };
    case 'blob-bad':
      return {
        message: `${failure.owner}: ${failure.digest} is ${BLOB_PROBLEMS[failure.problem]} in ${failure.store}`,
        hint: `run \`stowage fetch -s ${failure.store}\` with the same bundle and pins`,
      };
    case 'layer-bad': {
      const entry = failure.entry === undefined ? '' : `: ${quote(failure.entry)}`;
      return {
        message: `${failure.image}: layer ${failure.layer}${entry}: ${failure.detail}`,
        hint: 'no engine unpacks it: tell whoever publishes the image, or pin another one',
      };
    }
    case 'store-invalid':
      return {
        message: `${failure.store} is no store that this version can use: ${failure.detail}`,
        hint: 'give another directory with -s',
      };
    case 'source-bad':
      return {
        message: `${failure.what}: ${failure.problem === 'broken' ? 'it is damaged' : 'it is not what was pinned'}: ${failure.detail}`,
        hint:
          failure.problem === 'broken'
            ? 'make it again; `skopeo inspect` shows whether it can be read'
            : 'if it was changed on purpose, run `stowage pin` and review what changes',
      };
    case 'store-damaged':
      return {
        message: lines([
          `${failure.store} is damaged:`,
          ...failure.findings.map((finding) => `  ${finding}`),
        ]),
        hint: `run \`stowage store verify --repair -s ${failure.store}\`, then \`stowage fetch\` with the bundle and pins`,
      };
    case 'archive-bad':
      return {
        message: `${failure.file} can't be imported: ${failure.detail}`,
        hint: 'nothing of it is in the store; copy it again, or export it again',
      };
    case 'import-partial':
      return {
        message: lines([
          `${failure.directory}: ${failure.adopted.length} imported, ${failure.skipped.length} skipped:`,
          ...failure.skipped.map((skipped) => `  ${skipped}`),
        ]),
        hint: 'what was skipped is fetched from its registry by `stowage fetch`',
      };
    case 'entry-refused':
      return {
        message: `${quote(failure.entry)} can't be part of ${failure.image}: ${failure.detail}`,
        hint: 'nothing was written',
      };
    case 'platform-mismatch':
      return {
        message: `${failure.image}: ${failure.reference} is for ${failure.actual}, not for ${failure.expected}${pinnedIn(failure.pins)}`,
        hint:
          failure.pins === undefined
            ? 'tell whoever publishes the image, or pin another one'
            : EDITED_HINT,
      };
    case 'tree-bad': {
      const input = failure.input === '-' ? 'standard input' : failure.input;
      const entry = failure.entry === undefined ? '' : `: ${quote(failure.entry)}`;
      const place = failure.offset === undefined ? '' : ` (at byte ${failure.offset})`;
      return {
        message: `${input}${entry}: ${failure.detail}${place}`,
        hint: 'nothing was written',
      };
    }
    case 'engine-unable':
      return {
        message: lines([
          `Docker ${failure.version}, the device's engine, can't do what is asked of it:`,
          ...failure.problems.map(({ what, at, detail }) => `  ${what}${inFile(at)}: ${detail}`),
        ]),
        hint: `what would do: ${[...new Set(failure.problems.map(({ remedy }) => remedy))].join('; ')}`,
      };
    case 'engine-mislabelled':
      return {
        message: `${failure.reference} runs Docker ${failure.actual}, and ${failure.by === 'engine.version' ? 'engine.version' : 'its DOCKER_VERSION'} is ${failure.expected}`,
        hint:
          failure.by === 'engine.version'
            ? "let engine.version be the device's, and engine.dind an image of that version"
            : 'take another image for engine.dind: nobody knows what this one is',
      };
    case 'pin-contradicted':
      return {
        message: `${failure.image}: ${failure.reference} is not what its pins say${inFile(failure.pins)}: ${failure.detail}`,
        hint: EDITED_HINT,
      };
    case 'load-incomplete':
      return {
        message: `${failure.image} was not loaded as it should be: ${failure.detail}`,
        hint: 'nothing was written; run again with --debug for all that the engine said',
      };
    case 'not-verified':
      return {
        message: lines([
          `${failure.image} is not what the pins say:`,
          ...failure.findings.map((finding) => `  ${finding}`),
        ]),
        hint: 'build it again, and do not ship this one',
      };
    case 'image-corrupt':
      return {
        message: `${failure.image} is damaged: ${failure.detail}`,
        hint: 'build it again; `e2fsck -fn` on a file system tells more',
      };
    case 'image-unsupported':
      return {
        message: `${failure.image} can't be read: it uses ${failure.feature}, which this version does not know`,
        hint: 'make the file system without it: `tune2fs -l` shows its features',
      };
    case 'image-needs-recovery':
      return {
        message: `${failure.image} was not unmounted: its journal must be replayed before it can be read`,
        hint: 'run `e2fsck -fp` on the file system (of a copy, if it must stay as it is)',
      };
    case 'partition-missing':
      return {
        message: `${failure.image} has no partition named ${quote(failure.wanted)}; it has: ${list(failure.present.map(quote))}`,
        hint: '`sfdisk -l -o +Name` shows its partitions',
      };
    case 'registry-temporary':
      return { message: describeTemporary(failure), hint: temporaryHint(failure) };
    case 'registry-refused':
      if (failure.why === 'unauthorized' && failure.authfile !== undefined)
        return {
          message: `${failure.what}: the registry wants credentials, or others than it got: ${failure.detail}`,
          hint: `look whether ${failure.authfile} has this registry with the right password; \`skopeo login\` writes such files`,
        };
      return {
        message: `${failure.what}: ${(failure.by === 'address' ? ADDRESS_REFUSALS : REFUSALS)[failure.why]}: ${failure.detail}`,
        hint:
          failure.why === 'not-found' && PINNED.test(failure.detail)
            ? lostHint(failure.pins)
            : (failure.by === 'address' ? ADDRESS_HINTS : REFUSAL_HINTS)[failure.why],
      };
    case 'platform-not-offered':
      return {
        message: lines(
          [failure, ...(failure.others ?? [])].map(
            ({ image, reference, offered }) =>
              `${image}: ${reference} has no image for ${failure.wanted}; it has: ${list(offered)}`,
          ),
        ),
        hint: 'name another image or tag in the bundle; or if the device runs one of these, choose it with --platform',
      };
    case 'tool-missing':
      return {
        message: `${failure.tool} is not on this machine`,
        hint: `install it: sudo apt-get install ${failure.package} (\`stowage doctor\` looks for everything)${ENGINES.has(failure.tool) ? ', or build with --loader direct, which needs no engine' : ''}`,
      };
    case 'tool-failed': {
      const code = failure.exitCode === undefined ? '' : ` (exit code ${failure.exitCode})`;
      return {
        message: `${failure.tool} failed${code} while ${failure.doing}: ${failure.detail}`,
        hint: toolHint(failure),
      };
    }
    case 'engine-unreachable':
      return {
        message: `no ${failure.engine} engine answers: ${failure.detail}`,
        hint: describeWayIn(failure.engine, failure.problem),
      };
    case 'engine-unsuitable':
      return describeUnsuitable(failure);
    case 'engine-died':
      return {
        message: lines([
          `the engine in the container failed while ${failure.doing}: ${failure.detail}`,
          ...(failure.log.length === 0 ? [] : ['its last words:']),
          ...failure.log.map((line) => `  ${line}`),
        ]),
        hint: 'run `stowage doctor`; if this host allows no fewer rights, try --privileged',
      };
    case 'privilege-refused':
      return {
        message: `sudo did not allow \`${failure.command}\`: ${failure.detail}`,
        hint: 'run `sudo -v` first, or add the lines of docs/security.md to /etc/sudoers.d',
      };
    case 'mount-busy':
      return {
        message: `the data image can't be unmounted from ${failure.directory}, used by ${failure.by.join(', ')}`,
        hint: 'end what uses it and run again: the next build unmounts and removes what is left',
      };
    case 'machine-lacks':
      return { message: `this machine lacks ${failure.what}`, hint: failure.remedy };
    case 'no-space':
      return {
        message: `no space left in ${failure.where}${sizeIn(failure)}${describeNeed(failure)}`,
        hint: roomHint(failure),
      };
    case 'access-denied':
      if (failure.detail.startsWith('ENOENT'))
        return {
          message: `${failure.path} is not there any more while ${failure.doing}: ${failure.detail}`,
          hint: 'bring its directory back, or give another path, and run again',
        };
      return {
        message: `${failure.path}: no right to do this while ${failure.doing}: ${failure.detail}`,
        hint: failure.detail.startsWith('EROFS')
          ? 'its file system is read-only: give another path, or mount it to be written (`mount -o remount,rw`)'
          : 'check its owner and mode',
      };
    case 'file-system-failed':
      return {
        message: `${failure.path}: the file system failed while ${failure.doing}: ${failure.detail}`,
        hint: fileSystemHint(failure.code),
      };
    case 'interrupted':
      return { message: `ended by ${failure.signal}; nothing was left half-done` };
    default:
      return unreachable(failure);
  }
}

const ENGINES: ReadonlySet<string> = new Set(['docker', 'podman']);

/** Of pins that can be read, and can be replaced target by target. */
const EDITED_HINT =
  'pins are generated: restore the file, or run `stowage pin` again and review what changes';

const DOCUMENT_HINTS = {
  bundle: 'docs/bundle.md describes bundles',
  pins: 'pins are generated: restore the file (after a conflict: take either side), or remove it and run `stowage pin` for each target that was in it, and review what changes',
  catalog: 'the catalog must be a JSON document with the keys that the bundle names',
  'data.json': 'it is written beside the data image by `stowage build`',
  'data image': 'build it again',
  content: 'docs/inspect.md tells what can be looked at',
} as const;

const BLOB_PROBLEMS = {
  missing: 'missing',
  'wrong size': 'of the wrong size',
  'wrong digest': 'not what its name says',
  unreadable: 'not readable',
} as const;

const REFUSALS = {
  unauthorized: 'the registry wants credentials',
  denied: 'the registry denies access',
  'not-found': 'not found',
  unsupported: 'not supported',
  'wrong-content': 'it serves something else',
  untrusted: 'the signature policy does not accept it',
} as const;

/** Asked for by digest, as only pins do. */
const PINNED = /\bsha256:[0-9a-f]{64}\b/;

const REFUSAL_HINTS = {
  unauthorized: 'log in (`skopeo login`), or give --authfile',
  denied: 'check the rights of this account (--authfile)',
  'not-found': 'check name and tag in the bundle; `skopeo inspect` shows what is there',
  unsupported: 'pin another image, or convert this one with `skopeo copy`',
  'wrong-content': 'tell whoever runs the registry or mirror, or use another',
  untrusted:
    'have it signed, or look at the policy (--policy) and where signatures are (--registries-dir)',
} as const;

/** The same for files and catalogs, which have neither tags nor accounts. */
const ADDRESS_REFUSALS = {
  ...REFUSALS,
  unauthorized: 'the server wants credentials',
  denied: 'the server denies access',
  'wrong-content': 'it is not what was pinned',
} as const;

const ADDRESS_HINTS = {
  unauthorized:
    'stowage has none for addresses: serve it openly, or keep the file beside the bundle',
  denied: 'check the address in the bundle, or keep the file beside the bundle',
  'not-found': 'check the address or path in the bundle',
  unsupported: 'check the address in the bundle: open it with a browser or curl',
  'wrong-content':
    'if it was changed on purpose, run `stowage pin` and review what changes; else bring the old content back',
  untrusted: 'check the address in the bundle',
} as const;

function toolHint({ problem, file = 'the authfile' }: ToolFailed): string {
  if (problem === 'credentials')
    return `mend ${file}: containers-auth.json(5) tells what it may hold, and \`skopeo login\` writes it`;
  return problem === 'configuration'
    ? 'mend the file that it names: containers-registries.conf(5) and containers-registries.d(5) tell what it may hold'
    : 'run `stowage doctor`, or again with --debug';
}

/** A file that can't be read says nothing of what should be in it. */
function documentHint({ kind, problems }: InvalidDocument): string {
  const [problem, ...others] = problems;
  if (problem !== undefined && others.length === 0 && problem.line === undefined) {
    const option = kind === 'bundle' ? '-b' : kind === 'pins' ? '-p' : undefined;
    const given = option === undefined ? 'its path' : `the path given with ${option}`;
    switch (problem.detail) {
      case 'there is no such file':
      case 'no right to read it':
        return `check ${given}`;
      case 'this is a directory':
        return `name a file: check ${given}`;
    }
  }
  return DOCUMENT_HINTS[kind];
}

function describeProblem({ line, column, path, detail }: DocumentProblem): string {
  const position = line === undefined ? '' : `:${line}${column === undefined ? '' : `:${column}`}`;
  const where = path === undefined || path === '' ? '' : ` ${path}:`;
  return `${position}:${where} ${detail}`;
}

/** Who wants to move one image is told what comes before. */
function withoutUpdate({ updating }: { readonly updating?: true }): string {
  return updating === true ? ', without --update, which moves what is pinned' : '';
}

/** More names than these are counted. */
const NAMED = 5;

function lacking(images: readonly string[] = []): string {
  if (images.length === 0) return '';
  const more = images.length > NAMED ? `, and ${images.length - NAMED} more` : '';
  return `; to be pinned: ${images.slice(0, NAMED).join(', ')}${more}`;
}

function pinnedIn(pins: PinsPlace | undefined): string {
  return pins === undefined ? '' : `, as ${pins.file}:${pins.line} says`;
}

/** A digest that nobody has: one of these two is why. */
function lostHint(pins: PinsPlace | undefined): string {
  return pins === undefined
    ? 'the registry has that digest no more: pin again, or name a --mirror that has it'
    : `${pins.file}:${pins.line} names that digest: if it was edited, restore the file; else the registry has it no more: pin again, or name a --mirror that has it`;
}

/** Such as ` (product.yaml:3)`. */
function inFile(at: Pick<Position, 'file' | 'line'> | undefined): string {
  return at === undefined ? '' : ` (${at.file}:${at.line})`;
}

function sizeIn({ sizeAt }: NoSpace): string {
  return sizeAt === undefined ? '' : ` (partition.size in ${sizeAt.file}:${sizeAt.line})`;
}

function roomHint({ where, fits, sizeAt }: NoSpace): string {
  if (where !== 'the data image' && fits === undefined)
    return 'make room there and run again; what was downloaded is kept';
  const enough = fits === undefined ? '' : ` (${formatSize(fits)} should do)`;
  return sizeAt === undefined
    ? `give a larger --size${enough}, or --size auto`
    : `write a larger partition.size in ${sizeAt.file}:${sizeAt.line}${enough}, or auto`;
}

/** A partition is told in the form in which its size is given, everything else as disks are. */
function describeNeed({ needed, available, fits }: NoSpace): string {
  if (needed === undefined) return '';
  const format = fits === undefined ? formatBytes : formatSize;
  const have = available === undefined ? '' : `, ${format(available)} there are`;
  return `: ${format(fits ?? needed)} are needed${have}`;
}

/** `517 MB`: powers of ten, as the registries and `ls -h --si` count. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}

function quote(text: string): string {
  return JSON.stringify(text);
}

function list(items: readonly string[]): string {
  return items.length === 0 ? 'none' : items.join(', ');
}

function lines(items: readonly string[]): string {
  return items.join('\n');
}
