// Keeps one ticket for each support task. Reads the queue support.tasks of RabbitMQ with amqplib.
//
// npm install
// node consumer.mjs amqp://localhost tickets.sqlite
import { DatabaseSync } from "node:sqlite"; // Node.js 22.13 or newer
import amqp from "amqplib";

const QUEUE = "support.tasks";

class Tickets {
  // Your tickets, outside of the broker. Replace the table by calls to your helpdesk.
  constructor(path) {
    const database = new DatabaseSync(path);
    database.exec(`create table if not exists tickets
      (task text primary key, sequence text not null, is_open integer not null, task_data text not null)`);
    // A repeated event has the same sequence, and an old event has a smaller one. Both change nothing.
    this.upsert = database.prepare(`insert into tickets values (?, ?, ?, ?)
      on conflict (task) do update
         set sequence = excluded.sequence, is_open = excluded.is_open, task_data = excluded.task_data
       where excluded.sequence > tickets.sequence`);
  }

  apply(event) {
    const isOpen = event.type === "moneyback.support_task.closed.v2" ? 0 : 1;
    return this.upsert.run(event.subject, event.sequence, isOpen, JSON.stringify(event.data)).changes === 1;
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
