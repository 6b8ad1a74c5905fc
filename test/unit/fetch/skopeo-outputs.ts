import type { FailureClass } from '../../../src/fetch/classify.ts';

/** What skopeo 1.9.3 really said, recorded against a server with each fault; addresses and digests are replaced. */
export const SKOPEO_OUTPUTS: readonly {
  readonly name: string;
  readonly stderr: string;
  readonly expected: FailureClass;
}[] = [
  {
    name: 'manifest 503',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/m-503@sha256:0000000000000000000000000000000000000000000000000000000000000000: reading manifest sha256:0000000000000000000000000000000000000000000000000000000000000000 in 127.0.0.1:5000/m-503: received unexpected HTTP status: 503 Service Unavailable"',
  },
  {
    name: 'layer 503',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="reading blob sha256:0000000000000000000000000000000000000000000000000000000000000000: Error fetching blob: invalid status code from registry 503 (Service Unavailable)"',
  },
  {
    name: 'manifest 500',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/m-500@sha256:0000000000000000000000000000000000000000000000000000000000000000: reading manifest sha256:0000000000000000000000000000000000000000000000000000000000000000 in 127.0.0.1:5000/m-500: received unexpected HTTP status: 500 Internal Server Error"',
  },
  {
    name: 'layer 500',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="reading blob sha256:0000000000000000000000000000000000000000000000000000000000000000: Error fetching blob: invalid status code from registry 500 (Internal Server Error)"',
  },
  {
    name: 'manifest 502',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/m-502@sha256:0000000000000000000000000000000000000000000000000000000000000000: reading manifest sha256:0000000000000000000000000000000000000000000000000000000000000000 in 127.0.0.1:5000/m-502: received unexpected HTTP status: 502 Bad Gateway"',
  },
  {
    name: 'layer 502',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="reading blob sha256:0000000000000000000000000000000000000000000000000000000000000000: Error fetching blob: invalid status code from registry 502 (Bad Gateway)"',
  },
  {
    name: 'manifest 504',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/m-504@sha256:0000000000000000000000000000000000000000000000000000000000000000: reading manifest sha256:0000000000000000000000000000000000000000000000000000000000000000 in 127.0.0.1:5000/m-504: received unexpected HTTP status: 504 Gateway Timeout"',
  },
  {
    name: 'manifest 429',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/m-429@sha256:0000000000000000000000000000000000000000000000000000000000000000: reading manifest sha256:0000000000000000000000000000000000000000000000000000000000000000 in 127.0.0.1:5000/m-429: toomanyrequests: slow down"',
  },
  {
    name: 'layer 429',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="reading blob sha256:0000000000000000000000000000000000000000000000000000000000000000: too many requests to registry"',
  },
  {
    name: 'manifest 401',
    expected: { kind: 'refused', why: 'unauthorized' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/m-401@sha256:0000000000000000000000000000000000000000000000000000000000000000: reading manifest sha256:0000000000000000000000000000000000000000000000000000000000000000 in 127.0.0.1:5000/m-401: unauthorized"',
  },
  {
    name: 'layer 401',
    expected: { kind: 'refused', why: 'unauthorized' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="reading blob sha256:0000000000000000000000000000000000000000000000000000000000000000: unable to retrieve auth token: invalid username/password: unauthorized"',
  },
  {
    name: 'manifest 403',
    expected: { kind: 'refused', why: 'denied' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/m-403@sha256:0000000000000000000000000000000000000000000000000000000000000000: reading manifest sha256:0000000000000000000000000000000000000000000000000000000000000000 in 127.0.0.1:5000/m-403: denied"',
  },
  {
    name: 'layer 403',
    expected: { kind: 'refused', why: 'denied' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="reading blob sha256:0000000000000000000000000000000000000000000000000000000000000000: Error fetching blob: invalid status code from registry 403 (Forbidden)"',
  },
  {
    name: 'manifest 404',
    expected: { kind: 'refused', why: 'not-found' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/m-404@sha256:0000000000000000000000000000000000000000000000000000000000000000: reading manifest sha256:0000000000000000000000000000000000000000000000000000000000000000 in 127.0.0.1:5000/m-404: manifest unknown"',
  },
  {
    name: 'layer 404',
    expected: { kind: 'refused', why: 'not-found' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="reading blob sha256:0000000000000000000000000000000000000000000000000000000000000000: Error fetching blob: invalid status code from registry 404 (Not Found)"',
  },
  {
    name: 'manifest 404n',
    expected: { kind: 'refused', why: 'not-found' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/m-404n@sha256:0000000000000000000000000000000000000000000000000000000000000000: reading manifest sha256:0000000000000000000000000000000000000000000000000000000000000000 in 127.0.0.1:5000/m-404n: name unknown"',
  },
  {
    name: 'manifest 404p',
    expected: { kind: 'refused', why: 'not-found' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/m-404p@sha256:0000000000000000000000000000000000000000000000000000000000000000: reading manifest sha256:0000000000000000000000000000000000000000000000000000000000000000 in 127.0.0.1:5000/m-404p: StatusCode: 404, 404 page not found"',
  },
  {
    name: 'manifest reset',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/m-reset@sha256:0000000000000000000000000000000000000000000000000000000000000000: read tcp 127.0.0.1:40000->127.0.0.1:5000: read: connection reset by peer"',
  },
  {
    name: 'layer reset',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="writing blob: happened during read: read tcp 127.0.0.1:40000->127.0.0.1:5000: read: connection reset by peer"',
  },
  {
    name: 'manifest drop',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/m-drop@sha256:0000000000000000000000000000000000000000000000000000000000000000: Get \\"http://127.0.0.1:5000/v2/m-drop/manifests/sha256:0000000000000000000000000000000000000000000000000000000000000000\\": EOF"',
  },
  {
    name: 'layer drop',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="reading blob sha256:0000000000000000000000000000000000000000000000000000000000000000: Get \\"http://127.0.0.1:5000/v2/b-drop/blobs/sha256:0000000000000000000000000000000000000000000000000000000000000000\\": EOF"',
  },
  {
    name: 'manifest trunc',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/m-trunc@sha256:0000000000000000000000000000000000000000000000000000000000000000: unexpected EOF"',
  },
  {
    name: 'layer trunc',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="writing blob: happened during read: unexpected EOF"',
  },
  {
    name: 'layer truncchunk',
    expected: { kind: 'mismatch' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="writing blob: happened during read: Digest did not match, expected sha256:0000000000000000000000000000000000000000000000000000000000000000, got sha256:0000000000000000000000000000000000000000000000000000000000000000"',
  },
  {
    name: 'manifest html',
    expected: { kind: 'mismatch' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="determining manifest MIME type for docker://127.0.0.1:5000/m-html@sha256:0000000000000000000000000000000000000000000000000000000000000000: Manifest does not match provided manifest digest sha256:0000000000000000000000000000000000000000000000000000000000000000"',
  },
  {
    name: 'layer html',
    expected: { kind: 'mismatch' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="writing blob: happened during read: Digest did not match, expected sha256:0000000000000000000000000000000000000000000000000000000000000000, got sha256:0000000000000000000000000000000000000000000000000000000000000000"',
  },
  {
    name: 'manifest corrupt',
    expected: { kind: 'mismatch' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="determining manifest MIME type for docker://127.0.0.1:5000/m-corrupt@sha256:0000000000000000000000000000000000000000000000000000000000000000: Manifest does not match provided manifest digest sha256:0000000000000000000000000000000000000000000000000000000000000000"',
  },
  {
    name: 'layer corrupt',
    expected: { kind: 'mismatch' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="writing blob: happened during read: Digest did not match, expected sha256:0000000000000000000000000000000000000000000000000000000000000000, got sha256:0000000000000000000000000000000000000000000000000000000000000000"',
  },
  {
    name: 'connrefused',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:1/ok@sha256:0000000000000000000000000000000000000000000000000000000000000000: pinging container registry 127.0.0.1:1: Get \\"http://127.0.0.1:1/v2/\\": dial tcp 127.0.0.1:1: connect: connection refused"',
  },
  {
    name: 'dns',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://nowhere.invalid/ok@sha256:0000000000000000000000000000000000000000000000000000000000000000: pinging container registry nowhere.invalid: Get \\"https://nowhere.invalid/v2/\\": dial tcp: lookup nowhere.invalid on 192.0.2.53:53: no such host"',
  },
  {
    name: 'tlsplain',
    expected: { kind: 'refused', why: 'denied' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/ok@sha256:0000000000000000000000000000000000000000000000000000000000000000: pinging container registry 127.0.0.1:5000: Get \\"https://127.0.0.1:5000/v2/\\": http: server gave HTTP response to HTTPS client"',
  },
  {
    name: 'tlscut',
    expected: { kind: 'temporary', known: true },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/ok@sha256:0000000000000000000000000000000000000000000000000000000000000000: pinging container registry 127.0.0.1:5000: Get \\"https://127.0.0.1:5000/v2/\\": EOF"',
  },
  {
    name: 'no signature where the policy wants one',
    expected: { kind: 'refused', why: 'untrusted' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="Source image rejected: A signature was required, but no signature exists"',
  },
  {
    name: 'a policy that rejects',
    expected: { kind: 'refused', why: 'untrusted' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="Source image rejected: Running image dir:x is rejected by policy."',
  },
  {
    name: 'a policy that is no JSON',
    expected: { kind: 'refused', why: 'untrusted' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="Error loading trust policy: invalid policy in \\"bad.json\\": invalid character \'x\' looking for beginning of value"',
  },
  {
    name: 'an authfile that is no JSON',
    expected: { kind: 'configuration' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="Error parsing image name \\"docker://127.0.0.1:5000/x:1\\": getting username and password: 1 error occurred:\\n\\t* reading JSON file \\"bad.json\\": unmarshaling JSON at \\"bad.json\\": invalid character \'x\' looking for beginning of value\\n\\n"',
  },
  {
    name: 'an authfile with a list for its map',
    expected: { kind: 'configuration' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="Error parsing image name \\"docker://127.0.0.1:5000/x:1\\": getting username and password: 1 error occurred:\\n\\t* reading JSON file \\"bad.json\\": unmarshaling JSON at \\"bad.json\\": json: cannot unmarshal array into Go struct field dockerConfigFile.auths of type map[string]config.dockerAuthConfig\\n\\n"',
  },
  {
    name: 'an authfile with a password that is no base64',
    expected: { kind: 'configuration' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="Error parsing image name \\"docker://127.0.0.1:5000/x:1\\": getting username and password: 1 error occurred:\\n\\t* illegal base64 data at input byte 0\\n\\n"',
  },
  {
    name: 'an authfile that is a directory',
    expected: { kind: 'configuration' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="Error parsing image name \\"docker://127.0.0.1:5000/x:1\\": getting username and password: 1 error occurred:\\n\\t* reading JSON file \\"/d\\": read /d: is a directory\\n\\n"',
  },
  {
    name: 'a registries.conf that is no TOML',
    expected: { kind: 'configuration' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="Error parsing image name \\"docker://127.0.0.1:5000/x:1\\": loading registries configuration: loading registries configuration \\"/home/u/.config/containers/registries.conf\\": toml: line 1 (last key \\"unqualified-search-registries\\"): unexpected EOF; expected value"',
  },
  {
    name: 'a file beside it that is none, in a copy',
    expected: { kind: 'configuration' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/x:1: loading registries configuration: loading drop-in registries configuration \\"/home/u/.config/containers/registries.conf.d/bad.conf\\": toml: line 1 (last key \\"unqualified-search-registries\\"): unexpected EOF; expected value"',
  },
  {
    name: 'a registry that registries.conf blocks',
    expected: { kind: 'configuration' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="initializing source docker://127.0.0.1:5000/x:1: registry 127.0.0.1:5000 is blocked in /etc/containers/registries.conf or /etc/containers/registries.conf.d"',
  },
  {
    name: 'a file of registries.d that is no YAML',
    expected: { kind: 'configuration' },
    stderr:
      'time="2026-01-01T00:00:00Z" level=fatal msg="Error parsing image name \\"docker://127.0.0.1:5000/x:1\\": parsing /etc/containers/registries.d/x.yaml: error converting YAML to JSON: yaml: line 1: did not find expected node content"',
  },
];
