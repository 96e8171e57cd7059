/** The bridge as a process: configured by its environment, ends on SIGTERM and with its parent. */
import { startBridge } from './bridge.ts';
import { readConfiguration } from './configuration.ts';
import { log } from './log.ts';

try {
  const bridge = await startBridge(readConfiguration(process.env));
  let closing = false;
  const end = async () => {
    if (closing) return;
    closing = true;
    await bridge.close();
    process.exit(0);
  };
  process.on('SIGTERM', end).on('SIGINT', end).on('SIGHUP', end).on('disconnect', end);
  await bridge.ready;
  log('info', 'the bridge is up', { health_port: bridge.healthPort });
  if (process.connected) process.send?.({ type: 'ready', health_port: bridge.healthPort });
} catch (error) {
  log('error', error instanceof Error ? error.message : String(error));
  process.exit(1);
}
