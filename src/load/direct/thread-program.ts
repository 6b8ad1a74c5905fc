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

/** A chunk is used again once the next but one has been asked for, so each is waited for before that. */
async function feed(chunks, unpacker) {
  let taken;
  try {
    for (const chunk of chunks) {
      await taken;
      if (unpacker.destroyed) return;
      taken = new Promise((resolve) => { unpacker.write(chunk, resolve); });
    }
    unpacker.end();
  } catch (error) {
    unpacker.destroy(error);
  }
}

let garbage;

/**
 * zlib puts everything into memory of its own, and V8 looks for what of it nobody needs any more when it has 32 MB, or
 * when small objects are collected: so there have to be some. A little with each chunk: what lives through two collections
 * is kept for long, so they must not come close together.
 */
function makeGarbage() {
  garbage = new Array(${6 * 1024}).fill(0);
}

async function unpack({ path, copy }) {
  const fd = openSync(path, 'r');
  const ofBlob = copy ? undefined : createHash('sha256');
  let size = 0;
  // One is filled while the other is unpacked.
  const chunks = [Buffer.allocUnsafeSlow(chunkSize), Buffer.allocUnsafeSlow(chunkSize)];
  function* packed() {
    for (let turn = 0; ; turn = 1 - turn) {
      const chunk = chunks[turn];
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
  const put = async (chunk) => {
    for (let at = 0; at < chunk.length;) {
      buffer ??= await takeBuffer();
      const length = Math.min(chunk.length - at, bufferSize - filled);
      buffers[buffer].set(chunk.subarray(at, at + length), filled);
      at += length;
      filled += length;
      if (filled === bufferSize) flush();
    }
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
    const unpacker = isGzip ? zlib.createGunzip({ chunkSize }) : undefined;
    // Node's own reader of zstd, where there is one, ends with the first of several frames and takes what is cut off.
    const isPacked = isZstd;
    parentPort.postMessage({ type: 'begin', isPacked });
    try {
      if (unpacker === undefined) for (const chunk of blob) await put(chunk);
      else {
        // Its errors come out at the other end.
        void feed(blob, unpacker);
        try {
          for await (const chunk of unpacker) {
            makeGarbage();
            await put(chunk);
          }
        } finally {
          unpacker.destroy();
        }
      }
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
