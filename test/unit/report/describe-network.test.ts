import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RegistryTemporary } from '../../../src/model/failure.ts';
import { describeFailure } from '../../../src/report/describe-failure.ts';

const TRIED = { reason: 'registry-temporary', what: 'app', attempts: 4 } as const;

/** [what the last one said, what is to be looked at] */
const CAUSES: readonly (readonly [string, RegExp])[] = [
  [
    'Get "http://r.example:5000/v2/": dial tcp 192.0.2.1:5000: connect: connection refused',
    /^nothing listens at this host and port: check both in the bundle, .*, or give a --mirror; /,
  ],
  [
    'Get "https://r.example/v2/": proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused',
    /^the proxy does not answer: see what https_proxy, http_proxy and no_proxy say/,
  ],
  [
    'dial tcp: lookup r.example on 192.0.2.53:53: no such host',
    /^this machine does not find that host: check its name in the bundle/,
  ],
  ['dial tcp 192.0.2.1:443: connect: network is unreachable', /^this machine has no way to/],
  [
    'received unexpected HTTP status: 503',
    /^this may pass: run it again later, or give a --mirror$/,
  ],
];

for (const [detail, hint] of CAUSES)
  test(`what to look at: ${detail}`, () => {
    const said = describeFailure({ ...TRIED, detail });
    assert.equal(said.message, `app: ${detail} (4 attempts)`);
    assert.match(said.hint ?? '', hint);
  });

test('a file has no mirror', () => {
  for (const detail of ['answered 503', 'connect ECONNREFUSED 127.0.0.1:1'])
    assert.doesNotMatch(describeFailure({ ...TRIED, detail, by: 'address' }).hint ?? '', /mirror/);
});

test('mirrors that were asked are named', () => {
  const mirror = { kind: 'mirror', name: 'm.example:5000/cache', detail: 'refused' } as const;
  const only: RegistryTemporary = { ...TRIED, detail: 'refused', sources: [mirror] };
  assert.deepEqual(describeFailure(only), {
    message: 'app: the mirror m.example:5000/cache: refused (4 attempts)',
    hint: 'see whether m.example:5000/cache of --mirror is right and up, or leave it out; else run it again later',
  });
  const both: RegistryTemporary = {
    ...{ ...TRIED, detail: '503' },
    sources: [
      mirror,
      { ...mirror, name: 'n.example' },
      { kind: 'registry', name: 'r.example', detail: '503' },
    ],
  };
  assert.deepEqual(describeFailure(both), {
    message:
      'app: nobody who was asked gave it (4 attempts):\n  the mirror m.example:5000/cache: refused\n  the mirror n.example: refused\n  the registry r.example: 503',
    hint: 'see whether m.example:5000/cache and n.example of --mirror are right and up, or leave them out; else run it again later',
  });
});
