import { PackageURL } from 'packageurl-js';
import parseExpression from 'spdx-expression-parse';

/**
 * What SPDX 2.3 asks of a document beyond the form of its JSON, and the part of that form which stowage writes; by the
 * specification's clauses 6, 7, 10 and 11 and its annexes D and F. Names of licences and packages are parsed by others'
 * libraries. SPDX's own library judges in test/integration/sbom.test.ts, and the official JSON schema where SPDX_SCHEMA names
 * it.
 */
export function problemsOf(text: string): string[] {
  const document = JSON.parse(text) as Raw;
  const problems: string[] = [];
  const must = (holds: boolean, what: string): void => {
    if (!holds) problems.push(what);
  };
  const keys = (value: object, known: readonly string[], what: string): void => {
    for (const key of Object.keys(value)) must(known.includes(key), `${what} has ${key}`);
  };

  keys(document, DOCUMENT, 'the document');
  must(document.spdxVersion === 'SPDX-2.3', 'spdxVersion');
  must(document.dataLicense === 'CC0-1.0', 'dataLicense');
  must(document.SPDXID === 'SPDXRef-DOCUMENT', 'SPDXID');
  must(document.name !== '' && !document.name.includes('\n'), 'name');
  must(/^https:\/\/[\w.-]+\/[^\s#]+$/.test(document.documentNamespace), 'documentNamespace');
  const { created, creators } = document.creationInfo;
  must(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(created), `created ${created}`);
  must(creators.length > 0 && creators.every((one) => /^Tool: \S+-\S+$/.test(one)), 'creators');

  const extracted = new Set<string>();
  for (const { licenseId, extractedText, name, ...rest } of document.hasExtractedLicensingInfos ??
    []) {
    must(/^LicenseRef-[A-Za-z0-9.-]+$/.test(licenseId), `licenseId ${licenseId}`);
    must(!extracted.has(licenseId), `${licenseId} twice`);
    must(extractedText !== '' && name !== '', `${licenseId} has no text or name`);
    keys(rest, [], licenseId);
    extracted.add(licenseId);
  }

  const used = new Set<string>();
  const ids = new Set<string>([document.SPDXID]);
  for (const element of document.packages) {
    const { SPDXID: id } = element;
    keys(element, PACKAGE, id);
    must(/^SPDXRef-[A-Za-z0-9.-]+$/.test(id), `SPDXID ${id}`);
    must(!ids.has(id), `${id} twice`);
    ids.add(id);
    must(element.name !== '', `${id} has no name`);
    for (const key of LINES)
      // eslint-disable-next-line no-control-regex -- that is what must not be there
      must(!/[\0-\x1f\x7f]/.test(element[key] ?? ''), `${id}: ${key} is more than a line`);
    must(!element.filesAnalyzed, `${id}: filesAnalyzed`);
    const purpose = element.primaryPackagePurpose;
    must(purpose === undefined || PURPOSES.includes(purpose), `${id}: ${purpose ?? ''}`);
    must(
      element.downloadLocation === 'NOASSERTION' || URL.canParse(element.downloadLocation),
      `${id}: downloadLocation`,
    );
    must(element.homepage === undefined || URL.canParse(element.homepage), `${id}: homepage`);
    must(
      element.supplier === undefined ||
        /^(?:Person|Organization): [^()]+(?: \([^()\s]+\))?$/.test(element.supplier),
      `${id}: supplier ${element.supplier ?? ''}`,
    );
    must(element.licenseConcluded === 'NOASSERTION', `${id}: licenseConcluded`);
    must(element.copyrightText === 'NOASSERTION', `${id}: copyrightText`);
    for (const license of licensesIn(element.licenseDeclared)) {
      must(license !== undefined, `${id}: ${element.licenseDeclared} is no expression`);
      if (license?.startsWith('LicenseRef-') === true) used.add(license);
    }
    for (const { algorithm, checksumValue } of element.checksums ?? [])
      must(algorithm === 'SHA256' && /^[0-9a-f]{64}$/.test(checksumValue), `${id}: checksum`);
    for (const reference of element.externalRefs ?? []) {
      must(reference.referenceCategory === 'PACKAGE-MANAGER', `${id}: referenceCategory`);
      must(reference.referenceType === 'purl', `${id}: referenceType`);
      must(isPurl(reference.referenceLocator), `${id}: ${reference.referenceLocator}`);
    }
  }
  for (const license of used) must(extracted.has(license), `${license} has no text`);
  for (const license of extracted) must(used.has(license), `${license} is nobody's`);

  const relations = new Set<string>();
  const reached = new Set<string>();
  for (const { spdxElementId, relationshipType, relatedSpdxElement } of document.relationships) {
    const relation = `${spdxElementId} ${relationshipType} ${relatedSpdxElement}`;
    must(!relations.has(relation), `${relation} twice`);
    relations.add(relation);
    must(['DESCRIBES', 'CONTAINS'].includes(relationshipType), relation);
    must((relationshipType === 'DESCRIBES') === (spdxElementId === document.SPDXID), relation);
    for (const id of [spdxElementId, relatedSpdxElement]) must(ids.has(id), `${id} is nothing`);
    reached.add(relatedSpdxElement);
  }
  for (const { SPDXID: id } of document.packages) must(reached.has(id), `${id} is nobody's`);
  return problems;
}

export interface Raw {
  readonly spdxVersion: string;
  readonly dataLicense: string;
  readonly SPDXID: string;
  readonly name: string;
  readonly documentNamespace: string;
  readonly creationInfo: { readonly created: string; readonly creators: readonly string[] };
  readonly packages: readonly RawPackage[];
  readonly hasExtractedLicensingInfos?: readonly {
    readonly licenseId: string;
    readonly extractedText: string;
    readonly name: string;
  }[];
  readonly relationships: readonly {
    readonly spdxElementId: string;
    readonly relationshipType: string;
    readonly relatedSpdxElement: string;
  }[];
}

export interface RawPackage {
  readonly SPDXID: string;
  readonly name: string;
  readonly versionInfo?: string;
  readonly packageFileName?: string;
  readonly primaryPackagePurpose?: string;
  readonly supplier?: string;
  readonly downloadLocation: string;
  readonly filesAnalyzed: boolean;
  readonly checksums?: readonly { readonly algorithm: string; readonly checksumValue: string }[];
  readonly homepage?: string;
  readonly sourceInfo?: string;
  readonly licenseConcluded: string;
  readonly licenseDeclared: string;
  readonly copyrightText: string;
  readonly summary?: string;
  readonly description?: string;
  readonly comment?: string;
  readonly externalRefs?: readonly {
    readonly referenceCategory: string;
    readonly referenceType: string;
    readonly referenceLocator: string;
  }[];
}

const DOCUMENT = [
  ...['spdxVersion', 'dataLicense', 'SPDXID', 'name', 'documentNamespace', 'creationInfo'],
  ...['packages', 'hasExtractedLicensingInfos', 'relationships'],
];
const PACKAGE = [
  ...['SPDXID', 'name', 'versionInfo', 'packageFileName', 'primaryPackagePurpose', 'supplier'],
  ...['downloadLocation', 'filesAnalyzed', 'checksums', 'homepage', 'sourceInfo', 'summary'],
  ...['licenseConcluded', 'licenseDeclared', 'copyrightText', 'description', 'comment'],
  'externalRefs',
];
const LINES = [
  ...(['name', 'versionInfo', 'supplier', 'sourceInfo', 'summary', 'description'] as const),
  ...(['comment', 'packageFileName', 'downloadLocation'] as const),
];
const PURPOSES = ['CONTAINER', 'OPERATING_SYSTEM', 'FILE'];

/** Undefined among them for what is no expression. */
function licensesIn(declared: string): readonly (string | undefined)[] {
  if (declared === 'NOASSERTION' || declared === 'NONE') return [];
  try {
    return flat(parseExpression(declared));
  } catch {
    return [undefined];
  }
}

function flat(info: parseExpression.Info): string[] {
  return 'conjunction' in info ? [...flat(info.left), ...flat(info.right)] : [info.license];
}

/** One that others read, and that escapes what purl-spec ("Character encoding") has escaped; others leave some of it. */
function isPurl(text: string): boolean {
  if (!/^pkg:[a-z]+(?:\/[\w.~%:-]+)+@[\w.~%:-]+(?:\?[a-z_]+=[\w.~%:&=-]+)?$/.test(text))
    return false;
  try {
    PackageURL.fromString(text);
    return true;
  } catch {
    return false;
  }
}
