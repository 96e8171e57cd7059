/** The broker as a process of its own. */
import { brokerOptions, startBroker } from './broker.ts';
import { runPart } from './part-process.ts';

await runPart('broker', async () => {
  const { port, close } = await startBroker(brokerOptions(process.env));
  return { facts: { port }, close };
});
