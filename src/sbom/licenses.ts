import { createHash } from 'node:crypto';
import parse from 'spdx-expression-parse';

export const NOASSERTION = 'NOASSERTION';

/** A licence that has no identifier on SPDX's list: SPDX 2.3, clause 10. */
export interface ExtractedLicense {
  readonly licenseId: string;
  readonly extractedText: string;
  readonly name: string;
}

/** No expression that people wrote is longer; parsing one takes a call for each of its brackets. */
const LONGEST = 2000;
/** The longest part of an identifier that people can read. */
const LONGEST_SLUG = 40;

/**
 * Turns what packagers and labels say of licences into expressions that SPDX takes (SPDX 2.3, annex D), and collects
 * the licences that only they have a name for.
 */
export class Licenses {
  readonly #extracted = new Map<string, ExtractedLicense>();

  /** What is no expression becomes a licence of its own, whose text is what was said. */
  declare(said: string | undefined): string {
    const text = shortened(said ?? '')
      .replace(/\s+/g, ' ')
      .trim();
    if (text === '' || text === NOASSERTION) return NOASSERTION;
    if (text === 'NONE') return 'NONE';
    const info = parsed(text);
    if (info !== undefined) {
      for (const id of idsIn(info)) if (id.startsWith('LicenseRef-')) this.#add(id, id);
      return write(info);
    }
    const id = `LicenseRef-${slugOf(text)}`;
    this.#add(id, text);
    return id;
  }

  /** In the order of their names. */
  extracted(): readonly ExtractedLicense[] {
    return [...this.#extracted.values()].sort((a, b) => (a.licenseId < b.licenseId ? -1 : 1));
  }

  #add(licenseId: string, text: string): void {
    const extractedText = `A package or an image names this licence, and its text has to be looked for there: ${text}`;
    this.#extracted.set(licenseId, { licenseId, extractedText, name: text });
  }
}

/** No expression any more where it was too long for one, and still another for another text. */
function shortened(said: string): string {
  if (said.length <= LONGEST) return said;
  return `${said.slice(0, LONGEST)}… (${createHash('sha256').update(said).digest('hex')})`;
}

/** Undefined for what is none, or points into other documents. */
function parsed(text: string): parse.Info | undefined {
  let info: parse.Info;
  try {
    info = parse(text);
  } catch {
    // Whatever it throws: of `MIT AND` a TypeError.
    return undefined;
  }
  return idsIn(info).some((id) => id.startsWith('DocumentRef-')) ? undefined : info;
}

function idsIn(info: parse.Info): string[] {
  return 'conjunction' in info ? [...idsIn(info.left), ...idsIn(info.right)] : [info.license];
}

/** With the operators in capitals, as readers may insist. */
function write(info: parse.Info, within?: 'and' | 'or'): string {
  if (!('conjunction' in info)) {
    const exception = info.exception === undefined ? '' : ` WITH ${info.exception}`;
    return `${info.license}${info.plus === true ? '+' : ''}${exception}`;
  }
  const { conjunction, left, right } = info;
  const text = `${write(left, conjunction)} ${conjunction.toUpperCase()} ${write(right, conjunction)}`;
  return within === undefined || within === conjunction ? text : `(${text})`;
}

/** Short texts that differ keep different identifiers, whatever of them an identifier can't hold. */
function slugOf(text: string): string {
  const plain = text.replace(/[^A-Za-z0-9.]+/g, '-').replace(/^-+|-+$/g, '');
  if (plain === text && plain.length <= LONGEST_SLUG) return plain;
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 8);
  return [plain.slice(0, LONGEST_SLUG).replace(/-+$/, ''), hash]
    .filter((part) => part !== '')
    .join('-');
}
