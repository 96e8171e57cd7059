/** Why an update failed: a short code for the server to count, a sentence for people. */
export type FailureCode =
  | 'download_error'
  | 'size_mismatch'
  | 'checksum_mismatch'
  | 'signature_invalid'
  | 'stale_metadata'
  | 'wrong_hardware'
  | 'downgrade_refused'
  | 'install_error'
  | 'boot_failure';

export class UpdateFailure extends Error {
  readonly code: FailureCode;

  constructor(code: FailureCode, message: string) {
    super(message);
    this.code = code;
  }
}
