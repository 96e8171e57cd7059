/** Firmware, its uploads and models, as the API has them. */
import { z } from 'zod';
import { deviceStatus } from './api-devices.ts';
import { appName, checksum, model, serialNo, text, time, versionText } from './identifiers.ts';
import { parseVersion } from './version.ts';

export const FIRMWARE_KINDS = ['firmware', 'app'] as const;
export const firmwareKind = z.enum(FIRMWARE_KINDS);
export const FIRMWARE_STATES = ['uploaded', 'published', 'withdrawn'] as const;
export const firmwareState = z.enum(FIRMWARE_STATES);

/** Each of them at most. */
export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;
export const FIRMWARE_DOCUMENTS = ['sbom', 'advisory'] as const;
export const firmwareDocument = z.enum(FIRMWARE_DOCUMENTS);
export type FirmwareDocument = z.infer<typeof firmwareDocument>;

export const firmware = z.object({
  id: z.uuid(),
  kind: firmwareKind,
  /** Which of a device's apps it is; null for firmware. */
  name: appName.nullable(),
  version: versionText,
  model,
  checksum,
  size_bytes: z.int(),
  state: firmwareState,
  release_notes: z.string(),
  min_version: z.string().nullable(),
  /** Checksums of the documents beside it: `GET /firmware/{id}/sbom`, `GET /firmware/{id}/advisory`. */
  sbom: checksum.nullable(),
  advisory: checksum.nullable(),
  uploaded_at: time,
  published_at: time.nullable(),
  withdrawn_at: time.nullable(),
  withdrawn_reason: z.string().nullable(),
  /** What is wrong with the stored bytes, as last seen when they were read and compared; null where nothing is. */
  damage: z.string().nullable(),
  /** The same of the documents beside it. */
  document_damage: z.string().nullable(),
});
export type Firmware = z.infer<typeof firmware>;

/** What is said of a firmware when it is uploaded, beside its bytes. */
export const firmwareDescription = z
  .object({
    version: versionText,
    model,
    kind: firmwareKind.default('firmware'),
    /** Of an app. An app without a name counts as installed when any app of a device shows its version. */
    name: appName.nullish(),
    release_notes: text(20_000).default(''),
    /** The firmware a device must have at least, also where this is an app. */
    min_version: versionText
      .refine(
        (text) => parseVersion(text) !== undefined,
        'it is no version that has an order, such as v1.0.2',
      )
      .nullish(),
    checksum: checksum.optional(),
  })
  .refine(({ kind, name }) => kind === 'app' || name == null, {
    path: ['name'],
    error: 'only an app has a name: firmware is named by its model and version',
  });
export type FirmwareDescription = z.infer<typeof firmwareDescription>;

/** `POST /firmware/uploads`: announces a resumable upload; its size and checksum are promised first. */
export const beginUpload = firmwareDescription.safeExtend({ checksum, size_bytes: z.int().min(1) });
export type BeginUpload = z.infer<typeof beginUpload>;

/** The answer: upload parts 1 to `part_count`, each `part_size` bytes but the last; `parts` lists those here already. */
export const uploadState = z.object({
  id: z.uuid(),
  part_size: z.int(),
  part_count: z.int(),
  parts: z.array(z.int()),
  /** Set when these very bytes are here already under this model and version: nothing is left to upload. */
  firmware: firmware.nullable(),
});
export type UploadState = z.infer<typeof uploadState>;

/** `POST /firmware/{id}/withdraw` */
export const withdrawal = z.object({ reason: text(500).trim().min(1) });

/** A hardware model as the catalogue has it. */
export const catalogueModel = z.object({
  model,
  firmware_count: z.int(),
  /** The highest published version of its firmware; null where none is. */
  latest: z.string().nullable(),
});
export type CatalogueModel = z.infer<typeof catalogueModel>;

/** Where a firmware is installed. */
export const installations = z.object({
  /** How many devices show it; not counted beyond 10,000. */
  count: z.int(),
  more: z.boolean(),
  /** The first of them, by serial number. */
  sample: z.array(z.object({ serial_no: serialNo, status: deviceStatus })),
});
export type Installations = z.infer<typeof installations>;

export const signatures = z.object({
  signatures: z
    .array(z.object({ keyid: z.string().regex(/^[0-9a-f]{64}$/), sig: z.string().regex(/^[0-9a-f]{128}$/) }))
    .min(1)
    .max(10),
});
export type Signatures = z.infer<typeof signatures>;
