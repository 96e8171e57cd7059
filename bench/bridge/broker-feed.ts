/** A real broker, the engine of the embedded one, and messages as fast as it takes them. */
import { TestBroker } from '../../broker-bridge/test-broker.ts';
import { BRIDGE_ID, type Feed, type Message } from './rig.ts';

/** Messages given to the broker at a time. */
const AT_ONCE = 2000;

export class BrokerFeed implements Feed {
  readonly #broker: TestBroker;
  readonly #message: Message;
  #sent = 0;

  private constructor(broker: TestBroker, message: Message) {
    this.#broker = broker;
    this.#message = message;
  }

  static async start(message: Message): Promise<BrokerFeed> {
    return new BrokerFeed(await TestBroker.start(), message);
  }

  get url(): string {
    return this.#broker.url;
  }

  async pass(messages: number): Promise<number> {
    const before = this.#sent;
    const end = before + messages;
    const [first, last, all] = [0.1, 0.9, 1].map((part) => this.#acknowledged(before + part * messages));
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        while (this.#sent < end) {
          const { topic, payload } = this.#message(this.#sent++);
          await this.#broker.publish(topic, payload);
        }
      }),
    );
    const [from = 0, to = 0] = await Promise.all([first, last, all]);
    return (0.8 * messages) / ((to - from) / 1000);
  }

  close(): Promise<void> {
    return this.#broker.close();
  }

  /** Resolves when that many are, with the time. */
  #acknowledged(messages: number): Promise<number> {
    return new Promise((resolve) => {
      const look = () => {
        if ((this.#broker.acknowledged.get(BRIDGE_ID) ?? 0) < messages) return;
        this.#broker.off('change', look);
        resolve(performance.now());
      };
      this.#broker.on('change', look);
    });
  }
}
