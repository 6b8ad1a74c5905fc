/** Archives by hand, for what no program would write. */
export interface Member {
  readonly name?: string;
  readonly type?: string;
  /** As the field is to be; a number becomes octal digits. */
  readonly size?: number | Buffer;
  readonly mode?: string;
  readonly uid?: number | Buffer;
  readonly mtime?: number | Buffer;
  readonly link?: string;
  /** `ustar\0` + `00`, `ustar  \0`, or nothing for V7. */
  readonly magic?: string;
  readonly prefix?: string;
  /** More bytes at an offset of the block. */
  readonly at?: Readonly<Record<number, Buffer | string>>;
  readonly content?: Buffer | string;
  readonly checksum?: (unsigned: number, signed: number) => string;
}

export const USTAR = 'ustar\x0000';
export const GNU = 'ustar  \0';

export function member(given: Member): Buffer {
  const content = Buffer.from(given.content ?? '');
  const block = Buffer.alloc(512);
  const put = (at: number, value: Buffer | string): void => {
    Buffer.from(value as string, 'latin1').copy(block, at);
  };
  const number = (at: number, length: number, value: number | Buffer): void => {
    put(at, typeof value === 'number' ? value.toString(8).padStart(length - 1, '0') : value);
  };
  put(0, given.name ?? 'name');
  put(100, given.mode ?? '0000644');
  number(108, 8, given.uid ?? 0);
  number(116, 8, 0);
  number(124, 12, given.size ?? content.length);
  number(136, 12, given.mtime ?? 0);
  put(156, given.type ?? '0');
  put(157, given.link ?? '');
  put(257, given.magic ?? USTAR);
  put(345, given.prefix ?? '');
  for (const [at, value] of Object.entries(given.at ?? {})) put(Number(at), value);
  block.fill(' ', 148, 156);
  const unsigned = block.reduce((sum, byte) => sum + byte, 0);
  const signed = block.reduce((sum, byte) => sum + ((byte << 24) >> 24), 0);
  const octal = (sum: number): string => `${sum.toString(8).padStart(6, '0')}\0 `;
  put(148, (given.checksum ?? octal)(unsigned, signed));
  return Buffer.concat([block, filled(content)]);
}

export function pax(records: readonly (readonly [string, string | Buffer])[], type = 'x'): Buffer {
  return member({ name: 'PaxHeaders/x', type, content: paxData(records) });
}

export function paxData(records: readonly (readonly [string, string | Buffer])[]): Buffer {
  return Buffer.concat(
    records.map(([key, value]) => {
      const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value as string), NEWLINE]);
      let length = body.length + 1;
      while (String(length).length + body.length !== length)
        length = String(length).length + body.length;
      return Buffer.concat([Buffer.from(String(length)), body]);
    }),
  );
}

const NEWLINE = Buffer.from('\n');

/** Two blocks that end an archive. */
export const END = Buffer.alloc(1024);

function filled(content: Buffer): Buffer {
  return Buffer.concat([content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

/** In chunks of `size` bytes, all in the same buffer: a reader that keeps what it must copy shows. */
export async function* chunked(bytes: Buffer, size: number): AsyncGenerator<Uint8Array, void> {
  const buffer = Buffer.alloc(size);
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve();
    const length = bytes.copy(buffer, 0, at, at + size);
    yield buffer.subarray(0, length);
    buffer.fill(0xaa);
  }
}
