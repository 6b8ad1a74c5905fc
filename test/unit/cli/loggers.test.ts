import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Logger } from '../../../src/cli/loggers.ts';
import { jsonLogger, plainLogger, prettyLogger } from '../../../src/cli/loggers.ts';
import { formatDuration } from '../../../src/cli/describe-event.ts';
import { movesTable } from '../../../src/cli/moves-table.ts';

describe('the logger for make logs', () => {
  it('has one line of progress for all images together, at most every five seconds', () => {
    const { log, clock, text } = plain();
    log.report({ type: 'fetch-planned', images: 3, missing: 2, bytes: 300_000_000 });
    log.report({ type: 'fetch-started', image: 'core', bytes: 200_000_000 });
    log.report({ type: 'fetch-started', image: 'dns', bytes: 100_000_000 });
    for (let quarter = 1; quarter <= 48; quarter++) {
      clock.now += 250;
      log.report(progress('core', quarter * 2_500_000, 200_000_000));
      log.report(progress('dns', quarter * 1_250_000, 100_000_000));
    }
    assert.deepEqual(text().split('\n'), [
      'stowage: fetching 2 of 3 images, 300 MB',
      'stowage: 24 % of 300 MB, 14.8 MB/s, 16 s left (core 25 %, dns 23 %)',
      'stowage: 49 % of 300 MB, 14.9 MB/s, 11 s left (core 50 %, dns 48 %)',
      '',
    ]);
  });

  it('says nothing of what is quick, and names what is slow, also when nothing happens', () => {
    const { log, clock, text } = plain();
    log.report({ type: 'resolving', what: 'ghcr.io/a/core:1', name: 'core' });
    log.report({ type: 'resolving', what: 'ghcr.io/a/dns:1', name: 'dns' });
    clock.now += 2_000;
    log.refresh();
    log.report({ type: 'pinned', name: 'dns', reference: 'ghcr.io/a/dns:1@sha256:0' });
    for (const seconds of [2, 2, 4, 1]) {
      clock.now += seconds * 1_000;
      log.refresh();
    }
    assert.deepEqual(text().split('\n'), [
      'stowage: pinned dns: ghcr.io/a/dns:1@sha256:0',
      'stowage: resolving core',
      'stowage: resolving core',
      '',
    ]);
  });

  it('shows a download that stalls by its rate', () => {
    const { log, clock, text } = plain();
    log.report({ type: 'fetch-planned', images: 1, missing: 1, bytes: 1_000_000 });
    log.report({ type: 'fetch-started', image: 'core', bytes: 1_000_000 });
    clock.now += 1_000;
    log.report(progress('core', 500_000, 1_000_000));
    for (let second = 0; second < 14; second++) {
      clock.now += 1_000;
      log.refresh();
    }
    assert.match(text(), /50 % of 1.0 MB, 0 B\/s \(core 50 %\)\n$/);
  });

  it('keeps what programs say for --debug, without secrets', () => {
    const output = {
      type: 'tool-output',
      tool: 'skopeo',
      line: 'GET https://user:secret@host/',
    } as const;
    const quiet = plain();
    quiet.log.report(output);
    assert.equal(quiet.text(), '');
    const loud = plain(true);
    loud.log.report(output);
    assert.equal(loud.text(), 'stowage: skopeo: GET https://***@host/\n');
  });
});

describe('the logger for events', () => {
  it('writes one JSON document a line, and what programs say with --debug alone', () => {
    for (const debug of [false, true]) {
      let text = '';
      const log = jsonLogger((more) => (text += more), { debug });
      log.report(progress('core', 1, 2));
      log.report({ type: 'tool-output', tool: 'skopeo', line: 'x' });
      const events = text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown);
      assert.deepEqual(events[0], progress('core', 1, 2));
      assert.equal(events.length, debug ? 2 : 1);
    }
  });
});

describe('the logger for terminals', () => {
  it('draws each download and the sum, and leaves only what was said', () => {
    const { log, clock, terminal } = pretty(100, 24);
    log.report({ type: 'fetch-planned', images: 2, missing: 2, bytes: 30_000_000 });
    log.report({ type: 'fetch-started', image: 'core', bytes: 20_000_000 });
    log.report({ type: 'fetch-started', image: 'dns', bytes: 10_000_000 });
    clock.now += 1_000;
    log.report(progress('core', 10_000_000, 20_000_000));
    clock.now += 1_000;
    log.report(progress('dns', 1_000_000, 10_000_000));
    assert.deepEqual(terminal.lines(), [
      'fetching 2 of 2 images, 30.0 MB',
      'core  ##########----------   50 %  10.0 MB of 20.0 MB    5.0 MB/s       2 s',
      'dns   ##------------------   10 %   1.0 MB of 10.0 MB    500 kB/s      18 s',
      'all   #######-------------   36 %  11.0 MB of 30.0 MB    5.5 MB/s       4 s',
    ]);
    log.report({ type: 'warning', about: 'x', detail: 'y' });
    assert.equal(terminal.lines()[1], 'warning: x: y');
    log.report({ type: 'fetch-finished', image: 'core', bytes: 20_000_000 });
    log.report({ type: 'fetch-finished', image: 'dns', bytes: 10_000_000 });
    log.report({ type: 'fetched', images: 2, files: 0, downloaded: 30_000_000, blobs: [] });
    log.close();
    assert.deepEqual(terminal.lines(), [
      'fetching 2 of 2 images, 30.0 MB',
      'warning: x: y',
      'fetched core: 20.0 MB',
      'fetched dns: 10.0 MB',
    ]);
    assert.equal(terminal.column(), 0);
  });

  it('never writes a line as wide as the terminal, nor more than fit', () => {
    for (const columns of [20, 40, 60, 79, 80, 100, 200])
      for (const rows of [3, 5, 8, 24]) {
        const { log, clock, terminal } = pretty(columns, rows);
        log.report({ type: 'fetch-planned', images: 12, missing: 12, bytes: 12_000_000 });
        for (let image = 0; image < 12; image++) {
          const name = `an-image-with-a-long-name-${image}`;
          log.report({ type: 'fetch-started', image: name, bytes: 1_000_000 });
          clock.now += 200;
          log.report(progress(name, 123_456, 1_000_000));
        }
        assert.equal(terminal.wraps, 0, `${columns} columns`);
        const foot = terminal.lines().slice(1);
        assert(foot.length <= Math.max(1, Math.min(9, rows - 2)), `${foot.length} of ${rows}`);
        assert.match(foot.at(-1) ?? '', /^all/);
        if (rows > 5) assert(foot.some((line) => /^and \d+ more$/.test(line)));
      }
  });

  it('mends its lines when the terminal becomes narrower, and wider', () => {
    const { log, clock, terminal } = pretty(100, 24);
    log.report({ type: 'fetch-planned', images: 1, missing: 1, bytes: 1_000_000 });
    log.report({ type: 'fetch-started', image: 'core', bytes: 1_000_000 });
    for (const columns of [60, 30, 100, 45]) {
      terminal.resize(columns);
      log.refresh();
      clock.now += 1_000;
      log.report(progress('core', 400_000, 1_000_000));
      assert.equal(terminal.lines().filter((line) => line.startsWith('core')).length, 1);
      assert.equal(terminal.lines().filter((line) => line.startsWith('all')).length, 1);
    }
    log.close();
    assert.deepEqual(terminal.lines(), ['fetching 1 of 1 images, 1.0 MB']);
  });

  it('draws at most ten times a second', () => {
    const { log, clock, terminal } = pretty(80, 24);
    log.report({ type: 'fetch-started', image: 'core', bytes: 1_000_000 });
    const before = terminal.writes;
    for (let event = 0; event < 1_000; event++) {
      clock.now += 1;
      log.report(progress('core', event, 1_000_000));
    }
    assert(terminal.writes - before <= 10, String(terminal.writes - before));
  });
});

it('durations are short', () => {
  const durations = [0, 999, 59_000, 61_000, 3_599_000, 3_780_000].map(formatDuration);
  assert.deepEqual(durations, ['1 s', '1 s', '59 s', '1 min 01 s', '59 min 59 s', '1 h 03 min']);
});

it('what moved is a table', () => {
  const moves = [
    'core: 1.0 sha256:01ba4719c80b… → 1.1 sha256:2c26b46b68ff…',
    'dns: added',
    'supervisor/apparmor: mode 0644 → 0600',
    'old: removed',
  ];
  assert.deepEqual(movesTable(moves).split('\n'), [
    'what                 pinned                    now',
    'core                 1.0 sha256:01ba4719c80b…  1.1 sha256:2c26b46b68ff…',
    'dns                  -                         added',
    'supervisor/apparmor  mode 0644                 0600',
    'old                  removed                   -',
    '',
  ]);
});

function progress(
  image: string,
  bytes: number,
  total: number,
): { type: 'fetch-progress'; image: string; bytes: number; total: number } {
  return { type: 'fetch-progress', image, bytes, total };
}

interface Clock {
  now: number;
}

function plain(debug = false): { log: Logger; clock: Clock; text: () => string } {
  const clock = { now: 0 };
  let text = '';
  const log = plainLogger((more) => (text += more), { debug, now: () => clock.now });
  return { log, clock, text: () => text };
}

function pretty(columns: number, rows: number): { log: Logger; clock: Clock; terminal: Terminal } {
  const clock = { now: 0 };
  const terminal = new Terminal(columns, rows);
  const write = (text: string): void => {
    terminal.write(text);
  };
  return {
    clock,
    terminal,
    log: prettyLogger(write, { debug: false, now: () => clock.now }, terminal),
  };
}

/** As much of a terminal as the logger may use; everything else is an error. Resizing wraps lines anew, as tmux does. */
class Terminal {
  columns: number;
  readonly rows: number;
  wraps = 0;
  writes = 0;
  #lines: string[] = [''];
  #row = 0;
  #column = 0;

  constructor(columns: number, rows: number) {
    this.columns = columns;
    this.rows = rows;
  }

  write(text: string): void {
    this.writes += 1;
    // eslint-disable-next-line no-control-regex -- a terminal's escapes are what this is about
    for (const [part, up] of text.matchAll(/\x1b\[(\d+)A|\x1b\[K|\r|\n|[^\x1b\r\n]+/g)) {
      if (up !== undefined) this.#row -= Number(up);
      else if (part === '\r') this.#column = 0;
      else if (part === '\n') {
        this.#row += 1;
        this.#column = 0;
        this.#lines[this.#row] ??= '';
      } else if (part === '\x1b[K') {
        this.#lines[this.#row] = (this.#lines[this.#row] ?? '').slice(0, this.#column);
      } else {
        assert(this.#row >= 0, 'the cursor left the screen');
        const line = (this.#lines[this.#row] ?? '').slice(0, this.#column).padEnd(this.#column);
        this.#lines[this.#row] = line + part;
        this.#column += part.length;
        if (this.#column >= this.columns && !/^[a-z]+ing |^fetch/.test(part)) this.wraps += 1;
      }
    }
    // eslint-disable-next-line no-control-regex -- as above
    assert.equal(text.replace(/\x1b\[\d+A|\x1b\[K/g, '').includes('\x1b'), false);
  }

  resize(columns: number): void {
    this.columns = columns;
    // The cursor is behind the last line that is drawn.
    const wrapped = this.#lines
      .slice(0, this.#row + 1)
      .map((line) =>
        line === '' ? [''] : (line.match(new RegExp(`.{1,${columns}}`, 'g')) ?? ['']),
      );
    const last = wrapped.at(-1)?.at(-1) ?? '';
    this.#lines = wrapped.flat();
    this.#row = this.#lines.length - 1;
    this.#column = last.length;
  }

  lines(): string[] {
    return this.#lines.filter((line) => line !== '');
  }

  column(): number {
    return this.#column;
  }
}
