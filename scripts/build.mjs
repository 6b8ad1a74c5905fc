// Bundles the helper into the one file that make installs: dist/stowage.mjs, with no node_modules beside it.
// Usage: node scripts/build.mjs [FILE]
import { build } from 'esbuild';
import { chmodSync, readFileSync } from 'node:fs';
import { compiledSchemas } from './compile-schemas.mjs';

const root = new URL('..', import.meta.url).pathname;
const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
const outfile = process.argv[2] ?? `${root}dist/stowage.mjs`;

await build({
  absWorkingDir: root,
  entryPoints: ['src/cli/stowage.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  plugins: [compiledSchemas(root)],
  alias: { 'string-width': `${root}scripts/string-width.mjs` },
  // Names stay as they are, for stack traces; what is parsed at every start is a third less.
  minifyWhitespace: true,
  minifySyntax: true,
  define: { STOWAGE_VERSION: JSON.stringify(version) },
  banner: {
    // CommonJS dependencies call require(); an ES module has none of its own.
    js: "#!/usr/bin/env node\nimport { createRequire as stowageRequire } from 'node:module';\nconst require = stowageRequire(import.meta.url);",
  },
  legalComments: 'inline',
  logLevel: 'warning',
});
chmodSync(outfile, 0o755);
