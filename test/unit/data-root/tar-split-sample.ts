import { makeLayer, noise } from '../../rig/image.ts';

/**
 * An archive with everything that a record of it has to tell apart: extended headers, long names, names that are no text, links,
 * contents that fill their blocks and such that don't, and more behind the end than belongs there.
 */
export async function sampleArchive(): Promise<Buffer> {
  const layer = await makeLayer(
    {
      'etc/': { type: 'directory', mode: 0o750 },
      'etc/base': 'hello',
      'etc/<script>&ümläut\u2028': { content: 'x'.repeat(1000), xattrs: { 'user.a': 'b' } },
      empty: '',
      full: noise(1, 512),
      [`${'long/'.repeat(60)}name`]: noise(2, 70_001),
      link: { type: 'symlink', target: 'etc/base' },
      hard: { type: 'link', target: 'etc/base' },
      zzzzz: 'its name is made no text below',
    },
    { gzip: false },
  );
  const bytes = Buffer.from(layer.blob);
  // No UTF-8, and of the same sum as before, so that the checksum of the header stays right.
  bytes.set([0xe9, 0x5e, 0x5e, 0x5e, 0x5f], bytes.indexOf('zzzzz\0'));
  return Buffer.concat([bytes, Buffer.alloc(1_500_000), Buffer.from('garbage')]);
}
