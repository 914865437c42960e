// A TCP relay before the server that loses connections on purpose: the bad network of a test.

import { once } from "node:events";
import { createServer, connect } from "node:net";

export class Proxy {
  // Listens on a free loopback port and relays to `target`, the server's base URL.
  static async start(target) {
    const proxy = new Proxy();
    proxy.target = Number(new URL(target).port);
    proxy.pairs = new Set();
    proxy.requests = []; // of each GET /v1/events: {path, lastEventId}
    proxy.onrequest = () => {}; // called at each of them, before it is answered
    proxy.away = false; // true: a connection is accepted and closed at once
    proxy.cuts = 0;
    proxy.rule = null;
    proxy.server = createServer((client) => proxy.#relay(client));
    proxy.server.listen(0, "127.0.0.1");
    await once(proxy.server, "listening");
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  // Loses every connection that is open.
  cut() {
    if (this.pairs.size > 0) this.cuts += 1;
    for (const end of this.pairs) end();
  }

  // Of the next stream: after so many bytes of the answer the connection is lost, wherever in an
  // event that is. Once; resolves when it has happened.
  cutAfterBytes(bytes) {
    return this.#arm((answer) => (answer.length >= bytes ? bytes : -1), true);
  }

  // Of the next stream: nothing passes after the block that holds `text`. Resolves when it
  // has passed; the connection stays until `cut`, and the next one is not held.
  holdAfter(text) {
    return this.#arm((answer) => {
      const start = answer.indexOf(text);
      const end = start < 0 ? -1 : answer.indexOf("\n\n", start);
      return end < 0 ? -1 : end + 2;
    }, false);
  }

  close() {
    this.server.close();
    this.cut();
  }

  #arm(limit, cuts) {
    return new Promise((reached) => (this.rule = { limit, cuts, reached }));
  }

  #relay(client) {
    if (this.away) return client.destroy();
    const upstream = connect(this.target, "127.0.0.1");
    let rule = null;
    const end = () => {
      this.pairs.delete(end);
      client.destroy();
      upstream.destroy();
    };
    this.pairs.add(end);
    let passed = Buffer.alloc(0); // the answer so far, kept only while a rule watches it
    let held = false;
    client.on("data", (bytes) => {
      if (this.#noteStream(bytes)) {
        rule = this.rule;
        passed = Buffer.alloc(0); // a connection may have carried other answers before
      }
      upstream.write(bytes);
    });
    upstream.on("data", (bytes) => {
      if (held) return;
      if (!rule || rule.done) return void client.write(bytes);
      const before = passed.length;
      passed = Buffer.concat([passed, bytes]);
      const limit = rule.limit(passed);
      if (limit < 0) return void client.write(bytes);
      rule.done = held = true;
      client.write(bytes.subarray(0, limit - before), () => {
        if (rule.cuts) {
          this.cuts += 1;
          end();
        }
        rule.reached();
      });
    });
    for (const socket of [client, upstream]) socket.on("close", end).on("error", end);
  }

  // Whether these bytes ask for a stream; keeps what they ask for.
  #noteStream(bytes) {
    const head = bytes.toString("latin1");
    const path = /^GET (\/v1\/events\S*) HTTP/.exec(head)?.[1];
    if (!path) return false;
    this.requests.push({ path, lastEventId: /\r\nlast-event-id: *([^\r]*)\r\n/i.exec(head)?.[1] ?? "" });
    this.onrequest();
    return true;
  }
}
