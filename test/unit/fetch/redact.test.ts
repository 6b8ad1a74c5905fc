import assert from 'node:assert/strict';
import { it } from 'node:test';
import { redact } from '../../../src/fetch/redact.ts';

for (const [given, expected] of [
  ['https://joe:hunter2@r.example/x', 'https://***@r.example/x'],
  ['Authorization: Basic am9lOmh1bnRlcjI=', 'Authorization: ***'],
  ['authorization: Bearer eyJhbGciOi.x.y, next', 'authorization: ***, next'],
  ['sent Bearer eyJhbGciOiJSUzI1NiIs', 'sent Bearer ***'],
  ['GET /t?service=r&access_token=abc&x=1', 'GET /t?service=r&access_token=***&x=1'],
  [
    'https://s3/x?X-Amz-Signature=0af&X-Amz-Credential=AK',
    'https://s3/x?X-Amz-Signature=***&X-Amz-Credential=***',
  ],
  ['{"token":"abc","expires_in":300}', '{"token":"***","expires_in":300}'],
  [
    'user@example.org pulled ghcr.io/x/y@sha256:00',
    'user@example.org pulled ghcr.io/x/y@sha256:00',
  ],
  [
    'docker://127.0.0.1:5000/x@sha256:00: basic trust',
    'docker://127.0.0.1:5000/x@sha256:00: basic trust',
  ],
] as const)
  it(`redacts: ${given}`, () => {
    assert.equal(redact(given), expected);
  });
