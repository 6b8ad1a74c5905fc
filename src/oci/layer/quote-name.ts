/** What a message shows of a name: whoever made the archive may have given it a megabyte. */
const SHOWN = 300;

/** A name of latin1, for messages: as text where its bytes are UTF-8, and with nothing in it that a terminal obeys. */
export function quoteName(name: string): string {
  const bytes = Buffer.from(name, 'latin1');
  const decoded = bytes.toString('utf8');
  const text = Buffer.from(decoded).equals(bytes) ? decoded : name;
  const shown = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
  return JSON.stringify(shown).replace(/[\x7f-\x9f]/g, (control) => {
    return `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
