CREATE TABLE "archived_campaign_devices" (
	"campaign_id" uuid NOT NULL,
	"device_id" uuid NOT NULL,
	"serial_no" text COLLATE "C" NOT NULL,
	"stage" smallint NOT NULL,
	"status" "update_state" NOT NULL,
	"attempt" smallint DEFAULT 0 NOT NULL,
	"from_version" text,
	"to_version" text NOT NULL,
	"group_name" text,
	"error" text,
	"error_message" text,
	"offered_at" timestamp with time zone,
	"downloading_at" timestamp with time zone,
	"installing_at" timestamp with time zone,
	"rebooting_at" timestamp with time zone,
	"earlier_tries" jsonb,
	"started_at" timestamp with time zone,
	"completed_at" timestamp with time zone,
	"updated_at" timestamp with time zone NOT NULL,
	"revision" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "archived_campaign_devices_campaign_id_serial_no_pk" PRIMARY KEY("campaign_id","serial_no")
);
--> statement-breakpoint
CREATE TABLE "archived_campaigns" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"name" text NOT NULL,
	"firmware_id" uuid NOT NULL,
	"target_criteria" jsonb NOT NULL,
	"policy" jsonb NOT NULL,
	"status" "campaign_status" DEFAULT 'draft' NOT NULL,
	"status_reason" text,
	"metrics" jsonb,
	"created_by" text NOT NULL,
	"approved_by" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"started_at" timestamp with time zone,
	"finished_at" timestamp with time zone
);
--> statement-breakpoint
-- From here to the next hand-written line: partitions, which the generator cannot make. Existing rows are carried over.
ALTER TABLE "device_events" RENAME TO "device_events_whole";--> statement-breakpoint
CREATE TABLE "device_events" (
	"id" text NOT NULL,
	"device_id" uuid NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"kind" text NOT NULL,
	"detail" jsonb DEFAULT '{}'::jsonb NOT NULL,
	CONSTRAINT "device_events_id_at_pk" PRIMARY KEY("id","at")
) PARTITION BY RANGE ("at");
--> statement-breakpoint
-- Takes what no month's partition does: devices' clocks may say anything.
CREATE TABLE "device_events_default" PARTITION OF "device_events" DEFAULT;--> statement-breakpoint
-- Makes the partition of a month (UTC) unless it is there; rows of that month which lie in the default partition move.
-- Answers whether it made one.
CREATE FUNCTION "make_event_month"("month" date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	part text := to_char(month::timestamp, '"device_events_"YYYY_MM');
	starts timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
	ends timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
	PERFORM pg_advisory_xact_lock(hashtext('make_event_month'));
	IF to_regclass(part) IS NOT NULL THEN
		RETURN false;
	END IF;
	-- Nothing of that month may arrive in the default partition between the move and the attachment.
	LOCK TABLE device_events_default IN ACCESS EXCLUSIVE MODE;
	EXECUTE format('CREATE TABLE %I (LIKE device_events INCLUDING ALL)', part);
	EXECUTE format('WITH moved AS (DELETE FROM device_events_default WHERE at >= %L AND at < %L RETURNING *)
		INSERT INTO %I SELECT * FROM moved', starts, ends, part);
	EXECUTE format('ALTER TABLE device_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, starts, ends);
	RETURN true;
END $$;--> statement-breakpoint
-- Months before the last year stay together in the default partition.
SELECT make_event_month(month::date) FROM generate_series(
	GREATEST(
		date_trunc('month', LEAST((SELECT min("at") FROM "device_events_whole"), now()) AT TIME ZONE 'UTC'),
		date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 year'),
	date_trunc('month', now() AT TIME ZONE 'UTC') + interval '3 months',
	interval '1 month') AS month;--> statement-breakpoint
INSERT INTO "device_events" SELECT "id", "device_id", "at", "kind", "detail" FROM "device_events_whole";--> statement-breakpoint
DROP TABLE "device_events_whole";--> statement-breakpoint
CREATE INDEX "device_events_device_at" ON "device_events" USING btree ("device_id","at","id");--> statement-breakpoint
CREATE INDEX "device_events_at" ON "device_events" USING brin ("at");--> statement-breakpoint
-- From here on generated again.
ALTER TABLE "campaign_devices" ADD COLUMN "group_name" text;--> statement-breakpoint
ALTER TABLE "campaign_devices" ADD COLUMN "offered_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "campaign_devices" ADD COLUMN "downloading_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "campaign_devices" ADD COLUMN "installing_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "campaign_devices" ADD COLUMN "rebooting_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "campaign_devices" ADD COLUMN "earlier_tries" jsonb;--> statement-breakpoint
ALTER TABLE "archived_campaigns" ADD CONSTRAINT "archived_campaigns_firmware_id_firmware_id_fk" FOREIGN KEY ("firmware_id") REFERENCES "public"."firmware"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "archived_campaign_devices_device" ON "archived_campaign_devices" USING btree ("device_id","updated_at");--> statement-breakpoint
CREATE INDEX "archived_campaigns_created_at" ON "archived_campaigns" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "archived_campaigns_firmware" ON "archived_campaigns" USING btree ("firmware_id");--> statement-breakpoint
CREATE VIEW "public"."all_campaign_devices" AS ((select "campaign_id", "device_id", "serial_no", "stage", "status", "attempt", "from_version", "to_version", "group_name", "error", "error_message", "offered_at", "downloading_at", "installing_at", "rebooting_at", "earlier_tries", "started_at", "completed_at", "updated_at", "revision", false as "archived" from "campaign_devices") union all (select "campaign_id", "device_id", "serial_no", "stage", "status", "attempt", "from_version", "to_version", "group_name", "error", "error_message", "offered_at", "downloading_at", "installing_at", "rebooting_at", "earlier_tries", "started_at", "completed_at", "updated_at", "revision", true as "archived" from "archived_campaign_devices"));--> statement-breakpoint
CREATE VIEW "public"."all_campaigns" AS ((select "id", "name", "firmware_id", "target_criteria", "policy", "status", "status_reason", "metrics", "created_by", "approved_by", "created_at", "updated_at", "started_at", "finished_at", false as "archived" from "campaigns") union all (select "id", "name", "firmware_id", "target_criteria", "policy", "status", "status_reason", "metrics", "created_by", "approved_by", "created_at", "updated_at", "started_at", "finished_at", true as "archived" from "archived_campaigns"));