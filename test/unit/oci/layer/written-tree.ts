import type { LayerEntry } from '../../../../src/oci/layer/layer-entry.ts';
import { LayerError } from '../../../../src/oci/layer/layer-entry.ts';
import { LayerApplier, TakenBack } from '../../../../src/oci/layer/apply-layer.ts';
import { foresee, ForeseenLayer } from '../../../../src/oci/layer/foreseen-layer.ts';
import type { WrittenLayer } from '../../../../src/oci/layer/lower-layers.ts';
import { closeLayer, inheritAttributes } from '../../../../src/oci/layer/lower-layers.ts';
import { readTar } from '../../../../src/oci/tar/reader.ts';
import { TarError } from '../../../../src/oci/tar/tar-error.ts';
import { chunked, END } from '../tar/blocks.ts';

/** What has no time in an archive gets this one. */
export const MADE = 7;

export interface Applied {
  /** Each path with what is there, sorted; or why the layer is refused. */
  readonly tree: readonly string[] | string;
  readonly foreseen: boolean;
  readonly written: WrittenLayer | undefined;
}

/** Applies a layer of these members as a loader does, and tells what comes of it. `lower` begins with the nearest. */
export async function applyMembers(
  members: readonly Buffer[],
  lower: readonly WrittenLayer[] = [],
): Promise<Applied> {
  const archive = Buffer.concat([...members, END]);
  const options = { isBase: lower.length === 0, time: { seconds: MADE, nanoseconds: 0 } };
  const open = () => readTar(chunked(archive, 700), { dialect: 'go' });
  const target = new WrittenTree();
  const write = async (source: LayerApplier | ForeseenLayer): Promise<WrittenLayer> => {
    for await (const member of open()) {
      let content = '';
      const entries = source.take(member);
      if (entries.some(({ type }) => type === 'file')) content = await textOf(member.content);
      for (const entry of entries) target.put(entry, content);
    }
    for (const entry of source.finish()) target.put(entry, '');
    const written = closeLayer(source.tree);
    for (const entry of inheritAttributes(written, lower)) target.put(entry, '');
    return written;
  };
  let foreseen = false;
  try {
    let written: WrittenLayer;
    try {
      written = await write(new LayerApplier(options));
    } catch (error) {
      if (!(error instanceof TakenBack)) throw error;
      foreseen = true;
      target.clear();
      written = await write(new ForeseenLayer(await foresee(open(), options)));
    }
    return { tree: target.lines(), foreseen, written };
  } catch (error) {
    if (!(error instanceof LayerError || error instanceof TarError)) throw error;
    return { tree: error.detail, foreseen, written: undefined };
  }
}

async function textOf(content: Uint8Array | AsyncIterable<Uint8Array>): Promise<string> {
  if (content instanceof Uint8Array) return Buffer.from(content).toString('latin1');
  let text = '';
  for await (const chunk of content) text += Buffer.from(chunk).toString('latin1');
  return text;
}

interface Inode {
  text: string;
  names: number;
}

/** A file system as strict as the writer of images: parents are there, and nothing that has something in it is replaced. */
class WrittenTree {
  readonly #names = new Map<string, Inode>();

  put(entry: LayerEntry, content: string): void {
    const { path } = entry;
    const parent = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '';
    if (parent !== '' && this.#names.get(parent)?.text.startsWith('directory') !== true)
      throw new Error(`${path} has no directory`);
    const old = this.#names.get(path);
    const isDirectory = old?.text.startsWith('directory') === true;
    if (isDirectory && entry.type !== 'directory') {
      for (const name of this.#names.keys())
        if (name.startsWith(`${path}/`)) throw new Error(`${path} is replaced and not empty`);
    }
    if (entry.type === 'hard link') {
      const inode = this.#names.get(entry.target);
      if (inode === undefined) throw new Error(`${path} is a link to nothing`);
      inode.names += 1;
      this.#names.set(path, inode);
      return;
    }
    if (old !== undefined) old.names -= 1;
    this.#names.set(path, { text: describe(entry, content), names: 1 });
  }

  clear(): void {
    this.#names.clear();
  }

  lines(): string[] {
    return [...this.#names]
      .map(([path, { text, names }]) => `${path}: ${text}${names > 1 ? ` x${names}` : ''}`)
      .sort();
  }
}

function describe(entry: Exclude<LayerEntry, { type: 'hard link' }>, content: string): string {
  const { type, mode, uid, gid, mtime, xattrs } = entry;
  const what =
    type === 'file'
      ? ` ${JSON.stringify(content)}`
      : type === 'symlink'
        ? ` -> ${Buffer.from(entry.target).toString('latin1')}`
        : type === 'character device' || type === 'block device'
          ? ` ${entry.major}:${entry.minor}`
          : '';
  const attributes = [...xattrs]
    .map(([name, value]) => ` ${name}=${Buffer.from(value).toString('latin1')}`)
    .sort();
  return `${type} ${mode.toString(8)} ${uid}:${gid} @${mtime.seconds}${attributes.join('')}${what}`;
}
