/** What to do where the system could not do what this process may do: `code` is such as `EIO`. */
export function fileSystemHint(code: string): string {
  switch (code) {
    case 'EMFILE':
    case 'ENFILE':
      return 'let this process have more open files (`ulimit -n`)';
    case 'EBUSY':
    case 'ETXTBSY':
      return 'end what uses it, and run again';
    case 'EEXIST':
    case 'EISDIR':
    case 'ENOTEMPTY':
      return 'something else is there: move it away, or give another path';
    case 'ESTALE':
    case 'ETIMEDOUT':
      return 'it is on a server that is away or was changed: mount it again, and run again';
    default:
      return 'see what the kernel says of the disk (`dmesg`), and run again on one that is sound';
  }
}
