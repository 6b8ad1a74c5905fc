/** Why a compressed stream can't be read, as a phrase. */
export class CompressionError extends Error {}
