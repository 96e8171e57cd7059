DROP INDEX "campaign_devices_device";--> statement-breakpoint
CREATE INDEX "campaign_devices_device" ON "campaign_devices" USING btree ("device_id");--> statement-breakpoint
ALTER TABLE "campaign_devices" SET (fillfactor = 70);
