export const campaignFragments = (_s: unknown, _l: string): string => '';
