/** Its 16 bytes; undefined for what is no UUID in lower case with dashes. */
export function parseUuid(text: string): Buffer | undefined {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)
    ? Buffer.from(text.replaceAll('-', ''), 'hex')
    : undefined;
}
