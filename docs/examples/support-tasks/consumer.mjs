// Keeps one ticket for each support task. Reads the queue support.tasks of RabbitMQ with amqplib.
//
// npm install
// node consumer.mjs amqp://localhost tickets.json
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import amqp from "amqplib";

const QUEUE = "support.tasks";

class Tickets {
  // Your tickets, outside of the broker. Replace the file by calls to your helpdesk.
  constructor(path) {
    this.path = path;
    this.byTask = existsSync(path) ? JSON.parse(readFileSync(path, "utf-8")) : {};
  }

  apply(event) {
    // A repeated event has the same sequence, and an old event has a smaller one. Both change nothing.
    if (this.byTask[event.subject]?.sequence >= event.sequence) return false;
    const isOpen = event.type !== "moneyback.support_task.closed.v2";
    this.byTask[event.subject] = { sequence: event.sequence, isOpen, data: event.data };
    writeFileSync(`${this.path}.new`, JSON.stringify(this.byTask));
    renameSync(`${this.path}.new`, this.path); // if the program crashes before, the old file is complete
    return true;
  }
}

const [url, path] = process.argv.slice(2);
const tickets = new Tickets(path);
const connection = await amqp.connect(url);
const channel = await connection.createChannel();
await channel.assertQueue(QUEUE, { durable: true });
await channel.prefetch(10);
await channel.consume(QUEUE, (message) => {
  if (message === null) process.exit(1); // the queue was deleted: let your supervisor start the program again
  tickets.apply(JSON.parse(message.content.toString("utf-8")));
  channel.ack(message); // only now: if the program crashes before, the broker delivers the event again
});
console.log(`Reading ${QUEUE}.`);
