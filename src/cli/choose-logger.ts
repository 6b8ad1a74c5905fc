import { environment } from './environment.ts';
import type { Logger } from './loggers.ts';
import { jsonLogger, plainLogger, prettyLogger } from './loggers.ts';

/** Milliseconds after which what is under way is shown again, also when nothing happened: a rate falls by itself. */
const REFRESH = 500;

export interface LoggerChoice {
  readonly log?: 'plain' | 'json' | 'pretty' | undefined;
  readonly debug: boolean;
}

/** The logger for standard error as it is; `close` it before anything else is written there. */
export function startLogger(choice: LoggerChoice): Logger {
  const logger = chooseLogger(choice);
  const timer = setInterval(logger.refresh, REFRESH);
  process.stderr.on('resize', logger.refresh);
  return {
    ...logger,
    close: () => {
      clearInterval(timer);
      process.stderr.off('resize', logger.refresh);
      logger.close();
    },
  };
}

function chooseLogger({ log, debug }: LoggerChoice): Logger {
  const { stderr } = process;
  const write = (text: string): void => {
    stderr.write(text);
  };
  const options = { debug, now: () => performance.now() };
  switch (log ?? (stderr.isTTY && environment['TERM'] !== 'dumb' ? 'pretty' : 'plain')) {
    case 'json':
      return jsonLogger(write, options);
    case 'pretty':
      return prettyLogger(write, options, {
        get columns() {
          return stderr.columns || 80;
        },
        get rows() {
          return stderr.rows || 24;
        },
      });
    case 'plain':
      return plainLogger(write, options);
  }
}
