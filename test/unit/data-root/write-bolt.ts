import { fnv1a } from '../../../src/data-root/bolt.ts';

/** A bucket to write: plain values, and buckets in it. */
export interface Tree {
  readonly [key: string]: Uint8Array | string | Tree;
}

interface WriterOptions {
  readonly pageSize?: number;
  /** Entries a page; few of them make branch pages. */
  readonly perPage?: number;
  readonly sequence?: bigint;
}

/** The simplest writer of the format that reaches every kind of page: for tests of the reader. */
export function writeBolt(tree: Tree, options: WriterOptions = {}): Buffer {
  const { pageSize = 4096, perPage = 40, sequence = 0n } = options;
  const pages: Buffer[] = [Buffer.alloc(0), Buffer.alloc(0)];

  const add = (flags: number, count: number, body: Buffer): bigint => {
    const id = pages.length;
    const whole = Math.ceil((16 + body.length) / pageSize);
    const page = Buffer.alloc(whole * pageSize);
    page.writeBigUInt64LE(BigInt(id), 0);
    page.writeUInt16LE(flags, 8);
    page.writeUInt16LE(count, 10);
    page.writeUInt32LE(whole - 1, 12);
    body.copy(page, 16);
    for (let i = 0; i < whole; i++) pages.push(page.subarray(i * pageSize, (i + 1) * pageSize));
    return BigInt(id);
  };

  type Entry = { key: Buffer; value: Buffer; flags: number };
  const leafBody = (entries: readonly Entry[]): Buffer => {
    const table = Buffer.alloc(entries.length * 16);
    const data: Buffer[] = [];
    let at = table.length;
    entries.forEach(({ key, value, flags }, i) => {
      table.writeUInt32LE(flags, i * 16);
      table.writeUInt32LE(at - i * 16, i * 16 + 4);
      table.writeUInt32LE(key.length, i * 16 + 8);
      table.writeUInt32LE(value.length, i * 16 + 12);
      data.push(key, value);
      at += key.length + value.length;
    });
    return Buffer.concat([table, ...data]);
  };
  const branchBody = (nodes: readonly { key: Buffer; id: bigint }[]): Buffer => {
    const table = Buffer.alloc(nodes.length * 16);
    let at = table.length;
    nodes.forEach(({ key, id }, i) => {
      table.writeUInt32LE(at - i * 16, i * 16);
      table.writeUInt32LE(key.length, i * 16 + 4);
      table.writeBigUInt64LE(id, i * 16 + 8);
      at += key.length;
    });
    return Buffer.concat([table, ...nodes.map((node) => node.key)]);
  };

  const collect = (bucket: Tree): Entry[] =>
    Object.entries(bucket)
      .map(([name, item]) => {
        const key = Buffer.from(name);
        if (typeof item === 'string' || item instanceof Uint8Array)
          return { key, value: Buffer.from(item), flags: 0 };
        return { key, value: bucketValue(item), flags: 1 };
      })
      .sort((a, b) => a.key.compare(b.key));

  const bucketValue = (bucket: Tree): Buffer => {
    const entries = collect(bucket);
    const body = leafBody(entries);
    const header = Buffer.alloc(16);
    header.writeBigUInt64LE(sequence, 8);
    if (entries.every((entry) => entry.flags === 0) && body.length + 16 <= pageSize / 4) {
      const page = Buffer.alloc(16);
      page.writeUInt16LE(2, 8);
      page.writeUInt16LE(entries.length, 10);
      return Buffer.concat([header, page, body]);
    }
    header.writeBigUInt64LE(writeTree(entries), 0);
    return header;
  };

  const slices = <T>(items: readonly T[]): T[][] =>
    Array.from({ length: Math.max(1, Math.ceil(items.length / perPage)) }, (_, i) =>
      items.slice(i * perPage, (i + 1) * perPage),
    );

  const writeTree = (entries: readonly Entry[]): bigint => {
    let level = slices(entries).map((slice) => ({
      key: slice[0]?.key ?? Buffer.alloc(0),
      id: add(2, slice.length, leafBody(slice)),
    }));
    while (level.length > 1)
      level = slices(level).map((slice) => ({
        key: slice[0]?.key ?? Buffer.alloc(0),
        id: add(1, slice.length, branchBody(slice)),
      }));
    return level[0]?.id ?? 0n;
  };

  const root = writeTree(collect(tree));
  const freelist = add(16, 0, Buffer.alloc(0));
  for (const txid of [0, 1]) {
    const meta = Buffer.alloc(pageSize);
    meta.writeBigUInt64LE(BigInt(txid), 0);
    meta.writeUInt16LE(4, 8);
    meta.writeUInt32LE(0xed0cdaed, 16);
    meta.writeUInt32LE(2, 20);
    meta.writeUInt32LE(pageSize, 24);
    meta.writeBigUInt64LE(root, 32);
    meta.writeBigUInt64LE(sequence, 40);
    meta.writeBigUInt64LE(freelist, 48);
    meta.writeBigUInt64LE(BigInt(pages.length), 56);
    meta.writeBigUInt64LE(BigInt(txid), 64);
    sealMeta(meta);
    pages[txid] = meta;
  }
  return Buffer.concat(pages);
}

/** Sets the checksum of a meta page that was changed. */
export function sealMeta(page: Buffer): void {
  page.writeBigUInt64LE(fnv1a(page.subarray(16, 72)), 72);
}
