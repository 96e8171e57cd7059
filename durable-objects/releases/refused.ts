/** Why metadata was not taken. */
export type Refused = {
  refused:
    | 'no_repository'
    | 'no_role'
    | 'stale'
    | 'bad_signature'
    | 'not_prepared'
    | 'would_break'
    | 'spent'
    | 'full';
  detail: string;
};

export const refuse = (refused: Refused['refused'], detail: string): Refused => ({ refused, detail });
