/**
 * What a thread of `LayerThread` runs: plain JavaScript as text, as a thread starts from a file or from text, and the
 * command line is one file.
 *
 * It does its jobs in their order and puts what it reads into buffers that both sides share, whose numbers it sends: it
 * waits where the other side has all of them. For each job: with `copy` the blob's bytes as they are, then `end`;
 * with `unpack` its unpacked bytes, then `end`. An `end` has the SHA-256 of what was sent, and of the blob where that was
 * hashed meanwhile. Blobs that are copied have been hashed by then; a second reading, mostly from memory, spares keeping them.
 */
export const THREAD_PROGRAM = `
'use strict';
const { createHash } = require('node:crypto');
const { closeSync, fstatSync, openSync, readSync } = require('node:fs');
const { pipeline } = require('node:stream/promises');
const zlib = require('node:zlib');
const { parentPort, workerData } = require('node:worker_threads');

const buffers = workerData.map((shared) => new Uint8Array(shared));
const bufferSize = buffers[0].length;
const chunkSize = ${256 * 1024};
const free = buffers.map((_, i) => i);
const jobs = [];
let wake = () => undefined;
let isBusy = false;

parentPort.on('message', (message) => {
  if (message.free !== undefined) {
    free.push(message.free);
    wake();
  } else {
    jobs.push(message);
    if (!isBusy) work();
  }
});

async function work() {
  isBusy = true;
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
    try {
      if (job.copy) await copy(job);
      if (job.unpack) await unpack(job);
    } catch (error) {
      parentPort.postMessage({ type: 'error', code: String(error.code ?? ''), message: String(error.message) });
    }
  }
  isBusy = false;
}

async function takeBuffer() {
  while (free.length === 0) await new Promise((resolve) => { wake = resolve; });
  return free.pop();
}

function send(buffer, length, hash) {
  hash.update(buffers[buffer].subarray(0, length));
  parentPort.postMessage({ type: 'data', buffer, length });
}

async function copy({ path, size }) {
  const hash = createHash('sha256');
  const fd = openSync(path, 'r');
  let sent = 0;
  try {
    for (;;) {
      const buffer = await takeBuffer();
      const length = readSync(fd, buffers[buffer], 0, bufferSize, null);
      if (length === 0 || sent + length > size) {
        free.push(buffer);
        sent += length;
        break;
      }
      sent += length;
      send(buffer, length, hash);
    }
  } finally {
    closeSync(fd);
  }
  parentPort.postMessage({ type: 'end', hex: hash.digest('hex'), size: sent });
}

/**
 * As \`zlib.createGunzip\` does it (lib/zlib.js of Node, \`processChunkSync\`), but straight into the buffers: a stream would
 * make new memory for all that comes out, and copy it. What follows the last member is passed over, as there.
 */
async function gunzip(chunks, out) {
  const stream = zlib.createGunzip();
  const { _handle: handle, _writeState: state } = stream;
  // Neither is documented.
  if (handle?.writeSync === undefined || state?.length !== 2) return gunzipSlowly(chunks, stream, out);
  // It is thrown below.
  stream.on('error', () => undefined);
  const { Z_NO_FLUSH, Z_FINISH } = zlib.constants;
  /** False where it wants no more. */
  const write = async (flush, chunk) => {
    for (let at = 0; ;) {
      const { bytes, start } = await out.room();
      const room = bytes.length - start;
      handle.writeSync(flush, chunk, at, chunk.length - at, bytes, start, room);
      if (stream.errored) throw stream.errored;
      out.took(room - state[0]);
      at = chunk.length - state[1];
      if (state[0] > 0) return at === chunk.length;
    }
  };
  try {
    for (const chunk of chunks) if (!(await write(Z_NO_FLUSH, chunk))) return;
    await write(Z_FINISH, Buffer.alloc(0));
  } finally {
    stream.destroy();
  }
}

async function gunzipSlowly(chunks, stream, out) {
  // Each is used again for the next.
  const copies = function* () {
    for (const chunk of chunks) yield Buffer.from(chunk);
  };
  await pipeline(copies, stream, async (unpacked) => {
    for await (const chunk of unpacked) await out.put(chunk);
  });
}

async function unpack({ path, copy }) {
  const fd = openSync(path, 'r');
  const ofBlob = copy ? undefined : createHash('sha256');
  let size = 0;
  const chunk = Buffer.allocUnsafeSlow(chunkSize);
  function* packed() {
    for (;;) {
      const length = readSync(fd, chunk, 0, chunk.length, null);
      if (length === 0) return;
      size += length;
      const bytes = chunk.subarray(0, length);
      ofBlob?.update(bytes);
      yield bytes;
    }
  }
  const blob = packed();
  const hash = createHash('sha256');
  let buffer;
  let filled = 0;
  const out = {
    room: async () => {
      buffer ??= await takeBuffer();
      return { bytes: buffers[buffer], start: filled };
    },
    took: (length) => {
      filled += length;
      if (filled === bufferSize) flush();
    },
    put: async (chunk) => {
      for (let at = 0; at < chunk.length;) {
        const { bytes, start } = await out.room();
        const length = Math.min(chunk.length - at, bytes.length - start);
        bytes.set(chunk.subarray(at, at + length), start);
        at += length;
        out.took(length);
      }
    },
  };
  const flush = () => {
    if (buffer === undefined) return;
    send(buffer, filled, hash);
    buffer = undefined;
    filled = 0;
  };
  try {
    let problem;
    const head = Buffer.alloc(4);
    readSync(fd, head, 0, 4, 0);
    const isGzip = head[0] === 0x1f && head[1] === 0x8b;
    const magic = head.readUInt32LE(0);
    // A frame to be passed over may come first.
    const isZstd = magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50;
    // Node's own reader of zstd, where there is one, ends with the first of several frames and takes what is cut off.
    const isPacked = isZstd;
    parentPort.postMessage({ type: 'begin', isPacked });
    try {
      if (isGzip) await gunzip(blob, out);
      else for (const chunk of blob) await out.put(chunk);
    } catch (error) {
      problem = { code: String(error.code ?? ''), message: String(error.message) };
    }
    flush();
    const isUnread = problem !== undefined && /^E[A-Z]+$/.test(problem.code);
    // Whoever packed it may have put something behind.
    if (ofBlob !== undefined && !isUnread) {
      const rest = Buffer.allocUnsafeSlow(bufferSize);
      for (let length; (length = readSync(fd, rest, 0, rest.length, null)) > 0; size += length)
        ofBlob.update(rest.subarray(0, length));
    }
    const seen = ofBlob === undefined || isUnread ? {} : { blob: { hex: ofBlob.digest('hex'), size } };
    if (problem === undefined) parentPort.postMessage({ type: 'end', hex: hash.digest('hex'), isPacked, ...seen });
    else parentPort.postMessage({ type: 'error', ...problem, ...seen });
  } finally {
    if (buffer !== undefined) free.push(buffer);
    closeSync(fd);
  }
}
`;
