import { dirname, isAbsolute, join } from 'node:path';
import type { Bundle, EngineStore, Position } from '../model/bundle.ts';
import { hasCredentials, parseAddress, withoutCredentials } from '../model/bundle-source.ts';
import type { Catalog } from '../model/catalog-document.ts';
import type { Failure, InvalidOption } from '../model/failure.ts';
import { nearestName, suggestion } from '../model/nearest-name.ts';
import type { Platform } from '../model/platform.ts';
import { formatPlatform } from '../model/platform.ts';
import type { Target } from '../model/pins.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { fillTemplate } from '../model/template.ts';

/** What a bundle is evaluated for. */
export interface EvaluateOptions {
  readonly platform: Platform;
  readonly machine?: string | undefined;
  /** Variables by --set. */
  readonly set: Readonly<Record<string, string>>;
  /** Instead of the bundle's `engine.version`. */
  readonly engineVersion?: string | undefined;
  /** Instead of the bundle's `engine.store` and `engine.unpack`. */
  readonly engineStore?: EngineStore | undefined;
  readonly unpack?: boolean | undefined;
  /** Instead of the bundle's `engine.containerd`. */
  readonly containerd?: 'daemon' | 'own' | undefined;
  /** Instead of the bundle's `engine.dind`: `docker://NAME` or a name alone. */
  readonly dind?: string | undefined;
  /** True for a loader that runs none. */
  readonly withoutDind?: boolean | undefined;
}

/** Why `set` names what the bundle has no variable for, or holds a secret; undefined where it is fine. */
export function setProblem(
  bundle: Bundle,
  set: Readonly<Record<string, string>>,
): InvalidOption | undefined {
  const known = Object.keys(bundle.vars);
  for (const [name, value] of Object.entries(set)) {
    const given = `${name}=${withoutCredentials(value)}`;
    const invalid = (expected: string): InvalidOption => ({
      reason: 'invalid-option',
      option: '--set',
      value: given,
      expected,
    });
    if (known.length === 0) return invalid('no --set, since the bundle has no variables');
    if (!known.includes(name)) {
      const nearest = nearestName(name, known);
      const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`;
      return invalid(`one of the bundle's variables: ${known.join(', ')}${hint}`);
    }
    if (hasCredentials(value)) {
      return invalid('an address without user and password, which would get into the pins');
    }
  }
  return undefined;
}

/** The variables of `set` that differ from the bundle's defaults, sorted by name. */
export function effectiveSet(
  bundle: Bundle,
  set: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(set)
      .filter(([name, value]) => bundle.vars[name] !== value)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** What one evaluation knows and remembers. */
export interface Evaluation {
  readonly vars: Readonly<Record<string, string>>;
  readonly engineVersion: string;
  readonly catalogValues: ReadonlyMap<string, string>;
  readonly target: () => Target;
  /** `where` is the text's path in the bundle, for messages. */
  readonly fill: (where: string, text: string, at?: Position) => Result<string>;
  readonly address: (where: string, text: string, at?: Position) => Result<string>;
  readonly reject: (where: string, detail: string, at?: Position) => Result<never>;
}

const MACHINE = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;
const ENGINE_VERSION = /^[0-9]+(?:\.[0-9]+){1,2}(?:[-+~.][0-9A-Za-z.+~-]+)?$/;

/** Checks the options and makes ready to fill in templates. `catalog` is absent while its own address is evaluated. */
export function startEvaluation(
  bundle: Bundle,
  options: EvaluateOptions,
  catalog: Catalog | undefined,
): Result<Evaluation> {
  const { platform, machine, set } = options;
  const wrongSet = setProblem(bundle, set);
  if (wrongSet !== undefined) return fail(wrongSet);
  if (machine !== undefined && !MACHINE.test(machine)) {
    return invalidOption(
      '--machine',
      machine,
      "a machine's name: letters, digits, '_', '.' and '-'",
    );
  }
  const engineVersion = options.engineVersion ?? bundle.engine.version;
  if (!ENGINE_VERSION.test(engineVersion)) {
    return invalidOption('--engine-version', engineVersion, "an engine's version, such as 28.5.2");
  }
  const vars = { ...bundle.vars, ...set };
  const catalogValues = new Map<string, string>();
  let usesMachine = false;

  const reject = (where: string, detail: string, at?: Position): Result<never> =>
    fail({
      reason: 'invalid-document',
      kind: 'bundle',
      file: at?.file ?? bundle.files.join(', '),
      problems: [
        { ...(at === undefined ? {} : { line: at.line, column: at.column }), path: where, detail },
      ],
    });

  const lookUpCatalog = (
    where: string,
    name: string,
  ): Result<string, Failure | { detail: string }> => {
    if (catalog === undefined)
      return fail({ detail: `{catalog.${name}} wants a catalog, and there is none` });
    const value = catalog.lookup(name);
    if (!value.ok) {
      const problems = value.failure.problems.map((problem) => ({
        ...problem,
        detail: `${problem.detail} (${where} asks for it)`,
      }));
      return fail({ ...value.failure, problems });
    }
    catalogValues.set(name, value.value);
    return value;
  };

  const lookUp = (where: string, name: string): Result<string, Failure | { detail: string }> => {
    if (name.startsWith('catalog.')) return lookUpCatalog(where, name.slice('catalog.'.length));
    if (name === 'arch') return ok(bundle.arch[formatPlatform(platform)] ?? platform.arch);
    if (name === 'engine.version') return ok(engineVersion);
    if (name === 'machine') {
      if (machine === undefined) {
        return invalidOption('--machine', '', `a machine's name: ${where} asks for {machine}`);
      }
      usesMachine = true;
      return ok(machine);
    }
    const value = Object.hasOwn(vars, name) ? vars[name] : undefined;
    const known = [...Object.keys(vars), 'arch', 'machine', 'engine.version'];
    return value === undefined
      ? fail({ detail: `{${name}} is no variable${suggestion(name, known)}` })
      : ok(value);
  };

  /** Only a catalog may lack what a template names: everything else is there or an error. */
  const has = (name: string): boolean =>
    !name.startsWith('catalog.') || (catalog?.has(name.slice('catalog.'.length)) ?? true);

  const fill: Evaluation['fill'] = (where, text, at) => {
    const filled = fillTemplate(text, (name) => lookUp(where, name), has);
    if (filled.ok) return filled;
    return 'reason' in filled.failure
      ? fail(filled.failure)
      : reject(where, filled.failure.detail, at);
  };

  return ok({
    vars,
    engineVersion,
    catalogValues,
    fill,
    reject,
    address: (where, text, at) => {
      const filled = fill(where, text, at);
      if (!filled.ok) return filled;
      const address = parseAddress(filled.value);
      return address.ok ? address : reject(where, address.failure.detail, at);
    },
    target: () => ({
      platform: formatPlatform(platform),
      ...(machine !== undefined && usesMachine ? { machine } : {}),
      set: effectiveSet(bundle, set),
    }),
  });
}

/** A path of the bundle's as this process can open it; one of no bundle begins at the working directory. */
export function besideBundle(path: string, at: Position | undefined): string {
  return isAbsolute(path) || at === undefined ? path : join(dirname(at.file), path);
}

export function invalidOption(
  option: string,
  value: string,
  expected: string,
): Result<never, InvalidOption> {
  return fail({ reason: 'invalid-option', option, value, expected });
}
