CREATE TYPE "public"."config_change" AS ENUM('requested', 'confirmed');--> statement-breakpoint
CREATE TABLE "device_config_history" (
	"id" text PRIMARY KEY NOT NULL,
	"device_id" uuid NOT NULL,
	"config_key" text NOT NULL,
	"kind" "config_change" NOT NULL,
	"config_value" text NOT NULL,
	"old_value" text,
	"actor" text,
	"at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "device_groups" (
	"name" text COLLATE "C" PRIMARY KEY NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"rule" jsonb,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "certificates" DROP CONSTRAINT "certificates_device_id_devices_id_fk";
--> statement-breakpoint
ALTER TABLE "certificates" ALTER COLUMN "device_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "approved" boolean DEFAULT true NOT NULL;--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "decommissioned_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "device_config_history" ADD CONSTRAINT "device_config_history_device_id_devices_id_fk" FOREIGN KEY ("device_id") REFERENCES "public"."devices"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "device_config_history_device" ON "device_config_history" USING btree ("device_id","at","id");--> statement-breakpoint
ALTER TABLE "certificates" ADD CONSTRAINT "certificates_device_id_devices_id_fk" FOREIGN KEY ("device_id") REFERENCES "public"."devices"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "devices_group_serial_no" ON "devices" USING btree ("group_name","serial_no");--> statement-breakpoint
CREATE INDEX "devices_tags" ON "devices" USING gin ("tags");--> statement-breakpoint
ALTER TABLE "devices" SET (fillfactor = 70);
