import { readFile } from 'node:fs/promises';
import type { Engine } from '../../model/bundle.ts';
import type { Context } from '../../model/event.ts';
import type { EngineMislabelled } from '../../model/failure.ts';
import type { PlatformPin } from '../../model/pins.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { engineProblems, isVersion, profileOf } from '../../plan/engine-profile.ts';
import type { Store } from '../../store/store.ts';
import type { ApiFailure, EngineApi } from '../../tools/engine-api.ts';
import type { BuildRequest } from '../loader.ts';
import { warnOfPacked } from '../warn-of-packed.ts';

/** The engine that the dind image should turn out to be. */
export interface ExpectedEngine extends Pick<Engine, 'store' | 'unpack'> {
  /** The dind image, for messages. */
  readonly reference: string;
  readonly version: string;
  readonly by: EngineMislabelled['by'];
}

/**
 * Chooses the engine's profile by what the dind image says of itself in the store, and refuses what that engine can't
 * do: nothing is built or started for it. An image that says nothing is taken for what the bundle says; either way
 * `confirmEngine` asks the running engine.
 */
export async function checkEngine(
  request: BuildRequest,
  builderPlatform: string,
  context: Context,
): Promise<Result<ExpectedEngine>> {
  const { engine } = request.wanted;
  const { dind } = request.pins;
  const reference = dind?.reference ?? 'the dind image';
  const pin = dind?.platforms[builderPlatform];
  const stated = pin === undefined ? undefined : await statedVersion(request.store, pin);
  if (stated !== undefined && !isVersion(stated, engine.version))
    return fail({
      reason: 'engine-mislabelled',
      reference,
      by: 'engine.version',
      expected: engine.version,
      actual: stated,
    });
  const version = stated ?? engine.version;
  const profile = profileOf(version);
  if (profile === undefined)
    return fail({
      reason: 'engine-unable',
      version,
      problems: [
        {
          what: 'engine.version',
          detail: 'stowage knows Docker from 20.10 on',
          remedy: 'a newer engine.version',
        },
      ],
    });
  const problems = engineProblems(profile, engine, request.pins.images);
  if (problems.length > 0) return fail({ reason: 'engine-unable', version, problems });
  if (profile.knowledge !== 'tested')
    context.report({
      type: 'warning',
      about: `Docker ${version} is untested`,
      detail:
        profile.knowledge === 'documented'
          ? 'what it can do is known from its documentation alone; the outcome is verified as always'
          : 'it is newer than this stowage and taken for one like Docker 29; the outcome is verified as always',
    });
  if (!engine.unpack) context.report(warnOfPacked(request.content));
  return ok({
    reference,
    version,
    by: stated === undefined ? 'engine.version' : 'DOCKER_VERSION',
    store: engine.store,
    unpack: engine.unpack,
  });
}

/** `DOCKER_VERSION` in the image's environment, as the official images have it. */
async function statedVersion(store: Store, pin: PlatformPin): Promise<string | undefined> {
  try {
    const config = JSON.parse(await readFile(store.blobPath(pin.config.digest), 'utf8')) as {
      config?: { Env?: readonly string[] };
    };
    return config.config?.Env?.find((entry) => entry.startsWith('DOCKER_VERSION='))?.slice(
      'DOCKER_VERSION='.length,
    );
  } catch {
    // A blob that is missing or broken is told of where it is read as such.
    return undefined;
  }
}

/**
 * Whether a running engine is the expected one: of that version, and with images where they are asked for. Docker
 * before 24 lets a containerd store be switched on and goes on without; others may fall back to another driver.
 */
export async function confirmEngine(
  api: EngineApi,
  actual: string,
  expected: ExpectedEngine,
): Promise<Result<void, ApiFailure> | Result<void>> {
  if (!isVersion(actual, expected.version))
    return fail({
      reason: 'engine-mislabelled',
      reference: expected.reference,
      by: expected.by,
      expected: expected.version,
      actual,
    });
  const driver = await api.driver();
  if (!driver.ok) return driver;
  const { name, isSnapshotter } = driver.value;
  const right =
    expected.store === 'containerd' ? isSnapshotter && name === 'overlayfs' : name === 'overlay2';
  if (right) return ok();
  return fail({
    reason: 'machine-lacks',
    what: `the ${expected.store} store: the engine in the container took ${name} instead`,
    remedy: 'let the container mount overlays: a kernel with overlayfs, or --privileged',
  });
}
