/** The virtual fleet as a process: configured by `SKYLARK_FLEET`, it tells its parent what happens. */
import { fleetOptions, startFleet } from './fleet.ts';

try {
  const options = fleetOptions.parse(JSON.parse(process.env.SKYLARK_FLEET ?? '{}'));
  const fleet = await startFleet(options, (event, serial_no, detail) => {
    process.send?.({ type: 'event', event, serial_no, detail });
  });
  let closing = false;
  const end = async () => {
    if (closing) return;
    closing = true;
    await fleet.stop();
    process.exit(0);
  };
  process.on('SIGTERM', end).on('SIGINT', end).on('disconnect', end);
  process.send?.({ type: 'ready', connected: fleet.connected });
} catch (error) {
  process.stderr.write(`${JSON.stringify({ level: 'error', part: 'devices', msg: String(error) })}\n`);
  process.exit(1);
}
