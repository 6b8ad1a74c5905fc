import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A product's own layer, for openembedded-core in `core`: what docs/yocto.md has its readers write. */
export interface ProductLayer {
  readonly dir: string;
  readonly bundle: string;
  readonly pins: string;
}

/** `scarthgap` and the like: the release that a layer has to be for, if bitbake is to take it. */
export function seriesOf(core: string): string {
  const layer = readFileSync(join(core, 'meta/conf/layer.conf'), 'utf8');
  const [, series] = /^LAYERSERIES_COMPAT_core = "(\w+)"$/mu.exec(layer) ?? [];
  if (series === undefined) throw new Error(`${core} names no release`);
  return series;
}

export function productLayer(dir: string, core: string, registry: string): ProductLayer {
  const files = join(dir, 'recipes-product/product-data/files');
  mkdirSync(files, { recursive: true });
  mkdirSync(join(dir, 'conf'), { recursive: true });
  writeFileSync(
    join(dir, 'conf/layer.conf'),
    `BBPATH .= ":\${LAYERDIR}"
BBFILES += "\${LAYERDIR}/recipes-*/*/*.bb"
BBFILE_COLLECTIONS += "product"
BBFILE_PATTERN_product = "^\${LAYERDIR}/"
LAYERDEPENDS_product = "core stowage"
LAYERSERIES_COMPAT_product = "${seriesOf(core)}"
`,
  );
  writeFileSync(
    join(files, '../product-data.bb'),
    `SUMMARY = "The product's data partition"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://\${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

inherit stowage-data

STOWAGE_BUNDLES = "product.yaml"
STOWAGE_PINS = "pins.json"
`,
  );
  const bundle = join(files, 'product.yaml');
  writeFileSync(
    bundle,
    `stowage: 1
partition: { label: product-data, size: auto, headroom: 10%, dataRoot: docker }
engine: { version: '28.5.2' }
images:
  hello: { from: 'docker://${registry}/sample/hello-{arch}:1', tags: ['product.example/hello:latest'] }
files:
  product/machine.json: { json: { machine: '{machine}' } }
`,
  );
  return { dir, bundle, pins: join(files, 'pins.json') };
}
