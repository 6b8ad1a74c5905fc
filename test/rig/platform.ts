/** Node's names of machines in Go's words; all others have the same name in both. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm: 'arm/v7',
  ia32: '386',
};

/** The platform that this machine runs by itself. */
export function machinePlatform(): string {
  return `linux/${ARCHITECTURES[process.arch] ?? process.arch}`;
}
