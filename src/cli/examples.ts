/** For help pages and docs/cli.md: how each verb is called, by its full name. */
export const EXAMPLES: Readonly<Record<string, string>> = {
  pin: 'stowage pin -b product.yaml -p pins.json --platform linux/arm64',
  fetch: 'stowage fetch -b product.yaml -p pins.json -s store',
  build: 'stowage build -b product.yaml -p pins.json -s store -o data.ext4',
  verify: 'stowage verify data.ext4 -p pins.json',
  'store ls': 'stowage store ls -s store',
  'store verify': 'stowage store verify -s store --repair',
  'store prune': 'stowage store prune -s store --older-than 30d --keep pins.json -n',
  'store export': 'stowage store export -s store -p pins.json -o carried.tar',
  'store import': 'stowage store import carried.tar -s store',
  doctor: 'stowage doctor -s store -o data.ext4',
};

/** What an option's value is, where its name does not say it. */
export const PLACEHOLDERS: Readonly<Record<string, string>> = {
  authfile: 'FILE',
  bundle: 'FILE',
  'cert-dir': 'DIR',
  'data-root': 'DIR',
  dind: 'REFERENCE',
  'engine-version': 'VERSION',
  insecure: 'HOST[:PORT]',
  keep: 'FILE',
  mirror: 'HOST[/PATH]',
  'older-than': 'AGE',
  output: 'FILE',
  pins: 'FILE',
  policy: 'FILE',
  'registries-dir': 'DIR',
  'retry-delays': 'SECONDS,…',
  set: 'NAME=VALUE',
  stall: 'SECONDS',
  store: 'DIR',
  update: 'IMAGE',
};
