/** The stand-in for Neon's side of the driver, on a thread of its own: its work is not the data layer's. */
import { parentPort, workerData } from 'node:worker_threads';
import { z } from 'zod';
import { serveNeon } from '../../local/neon-shim.ts';

const wire = await serveNeon(z.string().parse(workerData));
parentPort?.once('message', () => void wire.close());
parentPort?.postMessage(wire.url);
