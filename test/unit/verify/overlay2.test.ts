import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Context } from '../../../src/model/event.ts';
import type { Digest } from '../../../src/model/digest.ts';
import { digestOf, hexOf } from '../../../src/model/digest.ts';
import type { TargetPins } from '../../../src/model/pins.ts';
import type { ExpectedImage } from '../../../src/verify/verify.ts';
import { verifyConsistency, verifyDataImage } from '../../../src/verify/verify.ts';
import type { Overlay2Draft } from './overlay2-image.ts';
import { cacheIdOf, draftOverlay2, linkOf, PATHS, writeOverlay2 } from './overlay2-image.ts';

interface Verdict {
  readonly findings: readonly string[];
  readonly alone: readonly string[];
}

function findingsOf(result: Awaited<ReturnType<typeof verifyDataImage>>): readonly string[] {
  if (result.ok) return [];
  assert.ok(result.failure.reason === 'not-verified', JSON.stringify(result.failure));
  return result.failure.findings;
}

async function judge(
  spoil: (draft: Overlay2Draft) => void,
  more: Partial<ExpectedImage> = {},
): Promise<Verdict> {
  const draft = draftOverlay2();
  spoil(draft);
  const { image, remove } = writeOverlay2(draft);
  try {
    const context: Context = { report: () => undefined, signal: new AbortController().signal };
    const expected = { dataRoot: 'docker', label: 'test-data', ...more };
    const pins = draft.pins as TargetPins;
    return {
      findings: findingsOf(await verifyDataImage(image, { ...expected, pins }, context)),
      alone: findingsOf(await verifyConsistency(image, expected, context)),
    };
  } finally {
    remove();
  }
}

/** The topmost layer of image one, and where it is. */
function top(draft: Overlay2Draft): { id: Digest; layer: string; directory: string } {
  const id = draft.chains['one']?.at(-1);
  assert.ok(id);
  return {
    id,
    layer: `${PATHS.layers}/${hexOf(id)}`,
    directory: `${PATHS.driver}/${cacheIdOf(id)}`,
  };
}

void describe('verify on overlay2', () => {
  void it('finds nothing where all is right, with its pins and without', async () => {
    assert.deepEqual(await judge(() => undefined), { findings: [], alone: [] });
  });

  void it('wants the store that was asked for', async () => {
    const { findings } = await judge(() => undefined, { store: 'containerd' });
    assert.deepEqual(findings, [
      'docker is a data root of overlay2, and the engine has containerd',
    ]);
  });

  const spoilt: [string, (draft: Overlay2Draft) => void, RegExp, 'alone too'?][] = [
    [
      'a name that is missing',
      ({ disk }) => disk.set(PATHS.repositories, '{"Repositories":{}}'),
      /image one: the engine has no example\.org\/one:1/,
    ],
    [
      'a name too many, on another image',
      ({ disk, pins }) => {
        const id = pins.images['two']?.config.digest;
        const one = { 'example.org/one:1': id, 'example.org/one:2': id };
        disk.set(
          PATHS.repositories,
          JSON.stringify({ Repositories: { x: one, y: { 'example.org/two:1': id } } }),
        );
      },
      /image one: example\.org\/one:1 is sha256.*pinned is[^]*image example\.org\/one:2 is not pinned/,
    ],
    [
      'a list of names that is none',
      ({ disk }) => disk.set(PATHS.repositories, '[]'),
      /repositories\.json is damaged: it lists no repositories/,
      'alone too',
    ],
    [
      'other bytes in a config',
      ({ disk, pins }) => {
        const digest = pins.images['one']?.config.digest;
        assert.ok(digest);
        disk.set(`${PATHS.configs}/${hexOf(digest)}`, '{}');
      },
      /config sha256:.* has other bytes/,
      'alone too',
    ],
    [
      'a config that nobody pinned',
      ({ disk }) => disk.set(`${PATHS.configs}/${hexOf(digestOf('x'))}`, '{}'),
      /imagedb\/content\/sha256\/[0-9a-f]{64} belongs to no pinned image/,
      'alone too',
    ],
    [
      'a layer that is not unpacked',
      (draft) => {
        const { layer } = top(draft);
        for (const path of [...draft.disk.keys()])
          if (path.startsWith(`${layer}/`)) draft.disk.delete(path);
      },
      /its layer with chain ID sha256:.* is not unpacked/,
      'alone too',
    ],
    [
      'another diff ID',
      (draft) => draft.disk.set(`${top(draft).layer}/diff`, digestOf('other')),
      /has the diff ID sha256:.* instead of sha256:/,
      'alone too',
    ],
    [
      'no parent',
      (draft) => draft.disk.delete(`${top(draft).layer}/parent`),
      /has the parent none instead of sha256:/,
      'alone too',
    ],
    [
      'no size',
      (draft) => draft.disk.set(`${top(draft).layer}/size`, ''),
      /has no size/,
      'alone too',
    ],
    [
      'nothing to save it by',
      (draft) => draft.disk.delete(`${top(draft).layer}/tar-split.json.gz`),
      /has no tar-split\.json\.gz/,
      'alone too',
    ],
    [
      'the directory of another layer',
      (draft) => {
        const base = draft.chains['one']?.[0];
        assert.ok(base);
        draft.disk.set(`${top(draft).layer}/cache-id`, cacheIdOf(base));
      },
      /has the directory [0-9a-f]{64} of another layer/,
      'alone too',
    ],
    [
      'a directory without the content',
      (draft) => draft.disk.delete(`${top(draft).directory}/diff/`),
      /docker\/overlay2\/[0-9a-f]{64}\/diff is not there/,
      'alone too',
    ],
    [
      'a link that leads elsewhere',
      (draft) => {
        const { id } = top(draft);
        draft.links.set(`${PATHS.links}/${linkOf(id)}`, '../elsewhere/diff');
      },
      /leads to \.\.\/elsewhere\/diff, not to/,
      'alone too',
    ],
    [
      'lower layers in the wrong order',
      (draft) => {
        const path = `${top(draft).directory}/lower`;
        const lower = draft.disk.get(path) ?? '';
        draft.disk.set(path, lower.split(':').reverse().join(':'));
      },
      /does not lie on the layers below it/,
      'alone too',
    ],
    [
      'a layer of nobody',
      ({ disk }) => disk.set(`${PATHS.layers}/${hexOf(digestOf('x'))}/diff`, 'x'),
      /layerdb\/sha256\/[0-9a-f]{64} is a layer of no pinned image/,
      'alone too',
    ],
    [
      'a directory and a link of nobody',
      ({ disk, links }) => {
        disk.set(`${PATHS.driver}/${'0'.repeat(64)}-init/diff/`, '');
        links.set(`${PATHS.links}/${'A'.repeat(26)}`, '../x/diff');
      },
      /0-init is of no layer[^]*A{26} is of no layer/,
      'alone too',
    ],
    [
      'what the engine of the builder left',
      ({ disk }) => {
        disk.set('docker/engine-id', 'id');
        disk.set('docker/image/overlay2/imagedb/metadata/sha256/x/lastUpdated', 'now');
      },
      /engine-id is left over[^]*metadata is left over|metadata is left over[^]*engine-id is left over/,
      'alone too',
    ],
  ];
  for (const [what, spoil, message, alone] of spoilt)
    void it(`finds ${what}`, async () => {
      const verdict = await judge(spoil);
      assert.match(verdict.findings.join('\n'), message);
      if (alone !== undefined) assert.match(verdict.alone.join('\n'), message);
    });
});
