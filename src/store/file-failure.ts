export { errorCode, fileFailure, interruption, isWriteRefused } from '../model/file-failure.ts';
