import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { classifySkopeo, classifyStatus, lastMessage } from '../../../src/fetch/classify.ts';
import { SKOPEO_OUTPUTS } from './skopeo-outputs.ts';

describe('classifySkopeo', () => {
  for (const { name, stderr, expected } of SKOPEO_OUTPUTS)
    it(`knows: ${name}`, () => {
      assert.deepEqual(classifySkopeo(stderr), expected);
    });

  it('calls temporary what it does not know, and says so', () => {
    assert.deepEqual(classifySkopeo('level=fatal msg="the moon is full"'), {
      kind: 'temporary',
      known: false,
    });
    assert.deepEqual(classifySkopeo(''), { kind: 'temporary', known: false });
  });

  it('knows a full disk', () => {
    const stderr =
      'level=fatal msg="writing blob: write /s/oci-put-blob1: no space left on device"';
    assert.deepEqual(classifySkopeo(stderr), { kind: 'no-space' });
  });

  it('is not misled by the name of an image', () => {
    const stderr =
      'level=fatal msg="reading manifest 404 in x/denied-unauthorized-429: received unexpected HTTP status: 503 Service Unavailable"';
    assert.deepEqual(classifySkopeo(stderr), { kind: 'temporary', known: true });
    const refused = 'level=fatal msg="reading manifest 503 in x/signature-500: denied"';
    assert.deepEqual(classifySkopeo(refused), { kind: 'refused', why: 'denied' });
  });

  it('goes by the last message, not by what skopeo tried before', () => {
    const stderr = [
      'level=warning msg="Failed, retrying in 1s ... (1/1). Error: x: connection reset by peer"',
      'level=fatal msg="reading manifest latest in x/y: manifest unknown"',
    ].join('\n');
    assert.deepEqual(classifySkopeo(stderr), { kind: 'refused', why: 'not-found' });
  });
});

it('classifyStatus knows what may pass', () => {
  for (const status of [408, 429, 500, 502, 503, 504])
    assert.equal(classifyStatus(status).kind, 'temporary', String(status));
  for (const status of [400, 401, 403, 404, 410])
    assert.equal(classifyStatus(status).kind, 'refused', String(status));
});

it('lastMessage leaves out what skopeo puts before everything, and its escapes', () => {
  const stderr =
    'level=fatal msg="Error parsing image name \\"docker://r.example/x:1\\": getting username and password: 1 error occurred:\\n\\t* open /run/containers/0/auth.json: permission denied\\n\\n"';
  assert.equal(
    lastMessage(stderr),
    'getting username and password: 1 error occurred: * open /run/containers/0/auth.json: permission denied',
  );
});

it('an authfile that may not be read is not a matter of time', () => {
  const stderr =
    'level=fatal msg="reading manifest 1 in r.example/x: stat /run/containers/1000/auth.json: permission denied"';
  assert.deepEqual(classifySkopeo(stderr), { kind: 'refused', why: 'unauthorized' });
});

it('lastMessage takes off the frame and secrets', () => {
  const stderr =
    'time="t" level=fatal msg="Get \\"https://joe:s3cret@r.example/v2/?token=abcdef\\": EOF"\n';
  assert.equal(lastMessage(stderr), 'Get "https://***@r.example/v2/?token=***": EOF');
});
