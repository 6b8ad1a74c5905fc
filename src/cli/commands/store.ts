import type { CommandGroup } from '../command.ts';
import { storeExportCommand } from './store-export.ts';
import { storeImportCommand } from './store-import.ts';
import { storeLsCommand } from './store-ls.ts';
import { storePruneCommand } from './store-prune.ts';
import { storeVerifyCommand } from './store-verify.ts';

export const storeCommands: CommandGroup = {
  name: 'store',
  describe: 'look into the directory of downloads, check, prune, export and import it',
  commands: [
    storeLsCommand,
    storeVerifyCommand,
    storePruneCommand,
    storeExportCommand,
    storeImportCommand,
  ],
};
