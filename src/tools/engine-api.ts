import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:http';
import { dirname, basename } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Platform } from '../model/platform.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/**
 * The Docker Engine API over a socket in a directory (Docker's API reference, "Engine API"): only the calls
 * that a loader needs, at the oldest version that has them. Streaming straight into the socket is what makes
 * loading fast, and the replies are data, so nothing is read out of the messages of a command.
 */
export interface EngineApi {
  /** True once the daemon answers. */
  ping(signal?: AbortSignal): Promise<boolean>;
  version(): Promise<Result<EngineVersion, ApiFailure>>;
  /** What keeps images and containers. */
  driver(): Promise<Result<StorageDriver, ApiFailure>>;
  /**
   * Streams an archive into the engine; the result is what it printed, line by line. Where the archive itself
   * breaks, its `errored` tells why. With a platform (API 1.48) it is that one's image that is unpacked, and an archive
   * without one is a failure; else it is the engine's own platform's.
   */
  load(
    archive: Readable,
    signal?: AbortSignal,
    platform?: Platform,
  ): Promise<Result<readonly string[], ApiFailure>>;
  /** Every name the engine knows, with the digest behind it as the engine's image ID. */
  listImages(): Promise<Result<readonly ListedImage[], ApiFailure>>;
  inspectImage(
    name: string,
    options: { manifests: boolean },
  ): Promise<Result<InspectedImage, ApiFailure>>;
  /** Creates a container without starting it: the engine unpacks the image for that. Returns its ID. */
  createContainer(
    image: string,
    platform: string,
    signal?: AbortSignal,
  ): Promise<Result<string, ApiFailure>>;
  removeContainer(id: string): Promise<Result<void, ApiFailure>>;
  /** Gives an image one name more; `repository` is a full name without its tag. */
  tagImage(name: string, repository: string, tag: string): Promise<Result<void, ApiFailure>>;
  /** Takes a name away; with its last one the image goes, if no other needs what it consists of. */
  removeImage(name: string): Promise<Result<void, ApiFailure>>;
  close(): Promise<void>;
}

export interface EngineVersion {
  readonly version: string;
  /** `[1, 51]`. */
  readonly api: readonly [number, number];
}

export interface StorageDriver {
  /** `overlay2`, `overlayfs`, `vfs`, … */
  readonly name: string;
  /** One of containerd's, and no graph driver of dockerd's own. */
  readonly isSnapshotter: boolean;
}

export interface ListedImage {
  readonly id: string;
  readonly names: readonly string[];
}

export interface InspectedImage {
  readonly id: string;
  readonly repoDigests: readonly string[];
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly diffIds: readonly string[];
  /** Bytes of unpacked snapshots by manifest digest; absent where the engine can't say (API before 1.48). */
  readonly unpacked?: ReadonlyMap<string, number>;
}

export interface ApiFailure {
  readonly reason: 'api-failed';
  /** HTTP status; absent where there was no reply. */
  readonly status?: number;
  readonly detail: string;
}

/** Milliseconds for a question; and for what unpacks an image, which its caller bounds more tightly where it can. */
const DEADLINE = 120_000;
const UNPACK_DEADLINE = 24 * 3_600_000;

/** Whether the engine's API is of that version, or a later one. */
export function isApi({ api }: EngineVersion, major: number, minor: number): boolean {
  return api[0] > major || (api[0] === major && api[1] >= minor);
}

/** Opens the API at a socket path of any length. Close it: it holds a file descriptor. */
export async function openEngineApi(socket: string): Promise<EngineApi> {
  // sun_path holds 108 bytes (unix(7)), a build's directory may be deeper: reach it through its descriptor.
  const directory = await open(dirname(socket), 'r');
  return new SocketEngineApi(directory, `/proc/self/fd/${directory.fd}/${basename(socket)}`);
}

class SocketEngineApi implements EngineApi {
  readonly #directory: FileHandle;
  readonly #socket: string;

  constructor(directory: FileHandle, socket: string) {
    this.#directory = directory;
    this.#socket = socket;
  }

  async ping(signal?: AbortSignal): Promise<boolean> {
    const reply = await this.#call('GET', '/_ping', { signal, deadline: 5_000 });
    return reply.ok;
  }

  async version(): Promise<Result<EngineVersion, ApiFailure>> {
    const reply = await this.#json('GET', '/version');
    if (!reply.ok) return reply;
    const { Version: version, ApiVersion: api } = reply.value as {
      Version: string;
      ApiVersion: string;
    };
    const [major = 0, minor = 0] = api.split('.').map(Number);
    return ok({ version, api: [major, minor] });
  }

  async driver(): Promise<Result<StorageDriver, ApiFailure>> {
    const reply = await this.#json('GET', '/info');
    if (!reply.ok) return reply;
    const { Driver: name, DriverStatus: status } = reply.value as {
      Driver: string;
      DriverStatus: [string, string][] | null;
    };
    const isSnapshotter = (status ?? []).some(
      ([key, value]) => key === 'driver-type' && value.startsWith('io.containerd.snapshotter.'),
    );
    return ok({ name, isSnapshotter });
  }

  async load(
    archive: Readable,
    signal?: AbortSignal,
    platform?: Platform,
  ): Promise<Result<readonly string[], ApiFailure>> {
    const asked = platform === undefined ? '' : `&platform=${platformQuery(platform)}`;
    const reply = await this.#call('POST', `/images/load?quiet=1${asked}`, {
      signal,
      body: archive,
      contentType: 'application/x-tar',
      deadline: UNPACK_DEADLINE,
    });
    if (!reply.ok) return reply;
    const lines: string[] = [];
    for (const line of reply.value.split('\n')) {
      if (line.trim() === '') continue;
      const message = parseMessage(line);
      if (message.error !== undefined) return fail({ reason: 'api-failed', detail: message.error });
      if (message.text !== '') lines.push(message.text);
    }
    return ok(lines);
  }

  async listImages(): Promise<Result<readonly ListedImage[], ApiFailure>> {
    const reply = await this.#json('GET', '/images/json?all=1');
    if (!reply.ok) return reply;
    const images = reply.value as { Id: string; RepoTags: string[] | null }[];
    return ok(images.map((image) => ({ id: image.Id, names: image.RepoTags ?? [] })));
  }

  async inspectImage(
    name: string,
    options: { manifests: boolean },
  ): Promise<Result<InspectedImage, ApiFailure>> {
    const query = options.manifests ? '?manifests=1' : '';
    const reply = await this.#json('GET', `/images/${name}/json${query}`);
    if (!reply.ok) return reply;
    const image = reply.value as {
      Id: string;
      RepoDigests: string[] | null;
      Os: string;
      Architecture: string;
      Variant?: string;
      RootFS: { Layers?: string[] };
      Manifests?: { ID: string; ImageData?: { Size?: { Unpacked?: number } } }[];
    };
    return ok({
      id: image.Id,
      repoDigests: image.RepoDigests ?? [],
      os: image.Os,
      architecture: image.Architecture,
      ...(image.Variant === undefined || image.Variant === '' ? {} : { variant: image.Variant }),
      diffIds: image.RootFS.Layers ?? [],
      ...(image.Manifests === undefined
        ? {}
        : {
            unpacked: new Map(
              image.Manifests.map((manifest) => [
                manifest.ID,
                manifest.ImageData?.Size?.Unpacked ?? 0,
              ]),
            ),
          }),
    });
  }

  async createContainer(
    image: string,
    platform: string,
    signal?: AbortSignal,
  ): Promise<Result<string, ApiFailure>> {
    const reply = await this.#json(
      'POST',
      `/containers/create?platform=${encodeURIComponent(platform)}`,
      // A command, so that images without one can be created from too; it is never run.
      JSON.stringify({ Image: image, Cmd: ['true'], HostConfig: { NetworkMode: 'none' } }),
      { signal, deadline: UNPACK_DEADLINE },
    );
    return reply.ok ? ok((reply.value as { Id: string }).Id) : reply;
  }

  async removeContainer(id: string): Promise<Result<void, ApiFailure>> {
    const reply = await this.#call('DELETE', `/containers/${id}?force=1&v=1`, {});
    return reply.ok ? ok() : reply;
  }

  async tagImage(name: string, repository: string, tag: string): Promise<Result<void, ApiFailure>> {
    const query = `repo=${encodeURIComponent(repository)}&tag=${encodeURIComponent(tag)}`;
    const reply = await this.#call('POST', `/images/${name}/tag?${query}`, {});
    return reply.ok ? ok() : reply;
  }

  async removeImage(name: string): Promise<Result<void, ApiFailure>> {
    const reply = await this.#call('DELETE', `/images/${name}`, {});
    return reply.ok ? ok() : reply;
  }

  async close(): Promise<void> {
    await this.#directory.close();
  }

  async #json(
    method: string,
    path: string,
    body?: string,
    options: Pick<CallOptions, 'signal' | 'deadline'> = {},
  ): Promise<Result<unknown, ApiFailure>> {
    const reply = await this.#call(method, path, {
      ...options,
      ...(body === undefined ? {} : { body, contentType: 'application/json' }),
    });
    if (!reply.ok) return reply;
    try {
      return ok(JSON.parse(reply.value) as unknown);
    } catch {
      return fail({ reason: 'api-failed', detail: `not JSON: ${reply.value.slice(0, 200)}` });
    }
  }

  async #call(
    method: string,
    path: string,
    options: CallOptions,
  ): Promise<Result<string, ApiFailure>> {
    const signals = [
      ...(options.signal === undefined ? [] : [options.signal]),
      AbortSignal.timeout(options.deadline ?? DEADLINE),
    ];
    let bodyError: unknown;
    try {
      const reply = await new Promise<IncomingMessage>((resolve, reject) => {
        const call = request(
          {
            socketPath: this.#socket,
            method,
            path,
            agent: false,
            signal: AbortSignal.any(signals),
            headers: {
              Host: 'docker',
              ...(options.contentType === undefined ? {} : { 'Content-Type': options.contentType }),
            },
          },
          resolve,
        );
        call.on('error', reject);
        if (options.body === undefined || typeof options.body === 'string') call.end(options.body);
        else
          pipeline(options.body, call).catch((error: unknown) => {
            // The daemon may answer, and hang up, before it has read all: then its reply says why.
            bodyError = error;
          });
      });
      let text = '';
      reply.setEncoding('utf8');
      for await (const chunk of reply as AsyncIterable<string>) text += chunk;
      const status = reply.statusCode ?? 0;
      if (status < 400) return ok(text);
      return fail({ reason: 'api-failed', status, detail: messageOf(text) });
    } catch (error) {
      const cause = bodyError ?? error;
      return fail({
        reason: 'api-failed',
        detail: cause instanceof Error ? cause.message : String(cause),
      });
    }
  }
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds. */
  readonly deadline?: number;
  readonly body?: string | Readable;
  readonly contentType?: string;
}

/** An OCI platform as JSON (API reference, ImageLoad). */
function platformQuery({ os, arch, variant }: Platform): string {
  return encodeURIComponent(
    JSON.stringify({
      os,
      architecture: arch,
      ...(variant === undefined ? {} : { variant }),
    }),
  );
}

/** One line of a progress stream: moby's pkg/jsonmessage. */
function parseMessage(line: string): { text: string; error?: string } {
  try {
    const message = JSON.parse(line) as {
      stream?: string;
      status?: string;
      error?: string;
      errorDetail?: { message?: string };
    };
    const error = message.errorDetail?.message ?? message.error;
    return {
      text: (message.stream ?? message.status ?? '').trim(),
      ...(error === undefined ? {} : { error }),
    };
  } catch {
    return { text: line.trim() };
  }
}

function messageOf(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text.trim();
  } catch {
    return text.trim();
  }
}
