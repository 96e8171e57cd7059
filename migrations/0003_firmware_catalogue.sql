ALTER TYPE "public"."firmware_state" ADD VALUE 'withdrawn';--> statement-breakpoint
ALTER TABLE "firmware" DROP CONSTRAINT "firmware_model_version";--> statement-breakpoint
ALTER TABLE "firmware" ADD COLUMN "name" text;--> statement-breakpoint
ALTER TABLE "firmware" ADD COLUMN "sbom_sha256" text;--> statement-breakpoint
ALTER TABLE "firmware" ADD COLUMN "advisory_sha256" text;--> statement-breakpoint
ALTER TABLE "firmware" ADD COLUMN "withdrawn_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "firmware" ADD COLUMN "withdrawn_reason" text;--> statement-breakpoint
ALTER TABLE "firmware" ADD COLUMN "checked_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "firmware" ADD COLUMN "damage" text;--> statement-breakpoint
ALTER TABLE "firmware_uploads" ADD COLUMN "name" text;--> statement-breakpoint
ALTER TABLE "firmware_uploads" ADD COLUMN "updated_at" timestamp with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "firmware" ADD CONSTRAINT "firmware_model_name_version" UNIQUE NULLS NOT DISTINCT("model","kind","name","version");