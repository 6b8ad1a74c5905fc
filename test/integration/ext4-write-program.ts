/**
 * Run as a program of its own, in all sorts of circumstances: writes an image of one of everything to the path that is
 * given. What it imports is all that it needs, so that it can be made one file for any Node.
 */
import { createImage } from '../../src/ext4/create-image.ts';
import type { Entry } from '../../src/ext4/entry.ts';

const [, , path = ''] = process.argv;
const uuid = '01234567-89ab-4cde-8f01-23456789abcd';
const mtime = { seconds: 1_600_000_000, nanoseconds: 1 };
const common = { mode: 0o640, uid: 1000, gid: 4_000_000_000, mtime };
const at = (name: string): { path: Uint8Array } => ({ path: Buffer.from(name, 'latin1') });

function* entries(): Generator<readonly [Entry, Uint8Array?]> {
  yield [{ type: 'directory', ...common, ...at(''), mode: 0o755 }];
  for (let d = 0; d < 20; d += 1) {
    yield [{ type: 'directory', ...common, ...at(`d${d}`) }];
    for (let f = 0; f < 40; f += 1) {
      const content = Buffer.alloc((d * 977 + f * 331) % 20_000, 1 + ((d + f) % 200));
      yield [{ type: 'file', ...common, ...at(`d${d}/f${f}`), size: content.length }, content];
    }
  }
  yield [{ type: 'directory', ...common, ...at('flat') }];
  for (let f = 0; f < 500; f += 1)
    yield [{ type: 'fifo', ...common, ...at(`flat/\xe9 name of some length ${f}`) }];
  const xattrs = new Map([
    ['user.b', Buffer.alloc(300, 7)],
    ['trusted.a', Buffer.from('a')],
    ['security.capability', Buffer.alloc(20, 1)],
  ]);
  yield [{ type: 'file', ...common, ...at('x'), xattrs, size: 0 }];
  yield [{ type: 'hard link', ...at('y'), target: Buffer.from('x') }];
  yield [{ type: 'symlink', ...common, ...at('l'), target: Buffer.alloc(70, 't') }];
  yield [{ type: 'file', ...common, ...at('d1/f1'), size: 3 }, Buffer.from('new')];
}

const created = await createImage(path, { uuid, hashSeed: uuid, epoch: 1_700_000_000 });
if (!created.ok) throw new Error(JSON.stringify(created.failure));
for (const [entry, content] of entries()) {
  const added = await created.value.add(entry, content);
  if (!added.ok) throw new Error(JSON.stringify(added.failure));
}
const finished = await created.value.finish();
if (!finished.ok) throw new Error(JSON.stringify(finished.failure));
