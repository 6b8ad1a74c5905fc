/** What stands for a secret. */
const HIDDEN = '***';

const SECRETS: readonly (readonly [RegExp, string])[] = [
  // userinfo of a URL
  [/([a-z][a-z0-9+.-]*:\/\/)[^/\s"'@]+@/gi, `$1${HIDDEN}@`],
  [
    /(authorization["']?\s*[:=]\s*["']?)(?:(?:basic|bearer|negotiate)\s+)?[^\s"',]+/gi,
    `$1${HIDDEN}`,
  ],
  [/\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi, `$1 ${HIDDEN}`],
  // query parameters of token services and of signed storage URLs
  [
    /([?&](?:[a-z0-9_-]*(?:token|secret|password|signature|credential|apikey|api_key)|sig|key|auth)=)[^&\s"'\\]+/gi,
    `$1${HIDDEN}`,
  ],
  [
    /("(?:access_token|refresh_token|token|password|secret|auth|identitytoken)"\s*:\s*")[^"]*/gi,
    `$1${HIDDEN}`,
  ],
];

/** Takes what may be a secret out of text that others made: errors, log lines, addresses. */
export function redact(text: string): string {
  return SECRETS.reduce((redacted, [pattern, by]) => redacted.replace(pattern, by), text);
}
