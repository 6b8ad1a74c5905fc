import { setDefaultResultOrder } from 'node:dns';
import { hideBin } from 'yargs/helpers';
import { commands } from './commands/index.ts';
import { main } from './main.ts';

/** Where Node starts: main.ts is a function, so that tests can give it commands of their own. */

// A make that reads our output may go away first: that is no reason to leave a mount behind.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
setDefaultResultOrder('ipv4first');
process.exitCode = await main(hideBin(process.argv), commands);
