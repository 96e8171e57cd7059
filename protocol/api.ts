/** The JSON of the HTTP API (`/api/v1`): what the outside reads and writes. */
export * from './api-accounts.ts';
export * from './api-campaigns.ts';
export * from './api-devices.ts';
export * from './api-firmware.ts';
export * from './api-groups.ts';
export * from './api-lists.ts';
export * from './campaign-policy.ts';
