CREATE TYPE "public"."campaign_status" AS ENUM('draft', 'scheduled', 'active', 'paused', 'completed', 'cancelled', 'rolled_back');--> statement-breakpoint
CREATE TYPE "public"."device_status" AS ENUM('online', 'offline', 'updating');--> statement-breakpoint
CREATE TYPE "public"."firmware_kind" AS ENUM('firmware', 'app');--> statement-breakpoint
CREATE TYPE "public"."firmware_state" AS ENUM('uploaded', 'published');--> statement-breakpoint
CREATE TYPE "public"."role" AS ENUM('viewer', 'operator', 'admin', 'ci');--> statement-breakpoint
CREATE TYPE "public"."update_state" AS ENUM('pending', 'offered', 'downloading', 'installing', 'rebooting', 'completed', 'failed', 'rollback', 'skipped');--> statement-breakpoint
CREATE TABLE "api_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"role" "role" NOT NULL,
	"secret_hash" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"revoked_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "audit_log" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	"actor" text NOT NULL,
	"action" text NOT NULL,
	"subject" text NOT NULL,
	"allowed" boolean DEFAULT true NOT NULL,
	"detail" jsonb DEFAULT '{}'::jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "campaign_devices" (
	"campaign_id" uuid NOT NULL,
	"device_id" uuid NOT NULL,
	"serial_no" text COLLATE "C" NOT NULL,
	"stage" smallint NOT NULL,
	"status" "update_state" NOT NULL,
	"attempt" smallint DEFAULT 0 NOT NULL,
	"from_version" text,
	"to_version" text NOT NULL,
	"error" text,
	"error_message" text,
	"started_at" timestamp with time zone,
	"completed_at" timestamp with time zone,
	"updated_at" timestamp with time zone NOT NULL,
	"revision" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "campaign_devices_campaign_id_serial_no_pk" PRIMARY KEY("campaign_id","serial_no")
);
--> statement-breakpoint
CREATE TABLE "campaigns" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"name" text NOT NULL,
	"firmware_id" uuid NOT NULL,
	"target_criteria" jsonb NOT NULL,
	"policy" jsonb NOT NULL,
	"status" "campaign_status" DEFAULT 'draft' NOT NULL,
	"status_reason" text,
	"metrics" jsonb,
	"created_by" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"started_at" timestamp with time zone,
	"finished_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "certificates" (
	"serial_hex" text PRIMARY KEY NOT NULL,
	"device_id" uuid NOT NULL,
	"key_digest" text NOT NULL,
	"pem" text NOT NULL,
	"not_after" timestamp with time zone NOT NULL,
	"issued_at" timestamp with time zone DEFAULT now() NOT NULL,
	"revoked_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "device_configs" (
	"device_id" uuid NOT NULL,
	"config_key" text NOT NULL,
	"config_value" text,
	"value_at" timestamp with time zone,
	"pending_value" text,
	"pending_until" timestamp with time zone,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "device_configs_device_id_config_key_pk" PRIMARY KEY("device_id","config_key")
);
--> statement-breakpoint
CREATE TABLE "device_events" (
	"id" text PRIMARY KEY NOT NULL,
	"device_id" uuid NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"kind" text NOT NULL,
	"detail" jsonb DEFAULT '{}'::jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "devices" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"serial_no" text COLLATE "C" NOT NULL,
	"model" text NOT NULL,
	"current_firmware" text,
	"target_version" text,
	"status" "device_status" DEFAULT 'offline' NOT NULL,
	"last_seen" timestamp with time zone,
	"group_name" text,
	"tags" text[] DEFAULT '{}' NOT NULL,
	"metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"power_state" text,
	"battery" double precision,
	"temperature" double precision,
	"apps" jsonb,
	"revoked_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "devices_serial_no_unique" UNIQUE("serial_no")
);
--> statement-breakpoint
CREATE TABLE "enrolment_tokens" (
	"token_hash" text PRIMARY KEY NOT NULL,
	"device_id" uuid NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"used_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "firmware" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"kind" "firmware_kind" DEFAULT 'firmware' NOT NULL,
	"version" text NOT NULL,
	"model" text NOT NULL,
	"sha256" text NOT NULL,
	"size_bytes" bigint NOT NULL,
	"state" "firmware_state" DEFAULT 'uploaded' NOT NULL,
	"release_notes" text DEFAULT '' NOT NULL,
	"min_version" text,
	"uploaded_by" text NOT NULL,
	"uploaded_at" timestamp with time zone DEFAULT now() NOT NULL,
	"published_at" timestamp with time zone,
	CONSTRAINT "firmware_model_version" UNIQUE("model","version")
);
--> statement-breakpoint
CREATE TABLE "firmware_upload_parts" (
	"upload_id" uuid NOT NULL,
	"part_no" integer NOT NULL,
	"etag" text NOT NULL,
	CONSTRAINT "firmware_upload_parts_upload_id_part_no_pk" PRIMARY KEY("upload_id","part_no")
);
--> statement-breakpoint
CREATE TABLE "firmware_uploads" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"version" text NOT NULL,
	"model" text NOT NULL,
	"kind" "firmware_kind" NOT NULL,
	"release_notes" text NOT NULL,
	"min_version" text,
	"sha256" text NOT NULL,
	"size_bytes" bigint NOT NULL,
	"object_key" text NOT NULL,
	"multipart_id" text NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "idempotency_keys" (
	"actor" text NOT NULL,
	"key" text NOT NULL,
	"request_digest" text NOT NULL,
	"status" smallint,
	"body" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "idempotency_keys_actor_key_pk" PRIMARY KEY("actor","key")
);
--> statement-breakpoint
CREATE TABLE "rejected_messages" (
	"id" text PRIMARY KEY NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"topic" text NOT NULL,
	"reason" text NOT NULL,
	"excerpt" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sessions" (
	"token_hash" text PRIMARY KEY NOT NULL,
	"user_id" uuid NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"last_used_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "users" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"email" text NOT NULL,
	"password_hash" text NOT NULL,
	"role" "role" NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "users_email_unique" UNIQUE("email")
);
--> statement-breakpoint
ALTER TABLE "campaign_devices" ADD CONSTRAINT "campaign_devices_campaign_id_campaigns_id_fk" FOREIGN KEY ("campaign_id") REFERENCES "public"."campaigns"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "campaigns" ADD CONSTRAINT "campaigns_firmware_id_firmware_id_fk" FOREIGN KEY ("firmware_id") REFERENCES "public"."firmware"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "certificates" ADD CONSTRAINT "certificates_device_id_devices_id_fk" FOREIGN KEY ("device_id") REFERENCES "public"."devices"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "device_configs" ADD CONSTRAINT "device_configs_device_id_devices_id_fk" FOREIGN KEY ("device_id") REFERENCES "public"."devices"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "enrolment_tokens" ADD CONSTRAINT "enrolment_tokens_device_id_devices_id_fk" FOREIGN KEY ("device_id") REFERENCES "public"."devices"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "firmware_upload_parts" ADD CONSTRAINT "firmware_upload_parts_upload_id_firmware_uploads_id_fk" FOREIGN KEY ("upload_id") REFERENCES "public"."firmware_uploads"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "audit_log_at" ON "audit_log" USING btree ("at","id");--> statement-breakpoint
CREATE INDEX "campaign_devices_device" ON "campaign_devices" USING btree ("device_id","updated_at");--> statement-breakpoint
CREATE INDEX "campaigns_created_at" ON "campaigns" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "campaigns_firmware" ON "campaigns" USING btree ("firmware_id");--> statement-breakpoint
CREATE INDEX "certificates_device" ON "certificates" USING btree ("device_id");--> statement-breakpoint
CREATE INDEX "certificates_key" ON "certificates" USING btree ("key_digest");--> statement-breakpoint
CREATE INDEX "device_events_device_at" ON "device_events" USING btree ("device_id","at","id");--> statement-breakpoint
CREATE INDEX "devices_model_serial_no" ON "devices" USING btree ("model","serial_no");--> statement-breakpoint
CREATE INDEX "firmware_sha256" ON "firmware" USING btree ("sha256");--> statement-breakpoint
CREATE INDEX "firmware_uploaded_at" ON "firmware" USING btree ("uploaded_at","id");--> statement-breakpoint
CREATE INDEX "rejected_messages_at" ON "rejected_messages" USING btree ("at");