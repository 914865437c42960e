// The godwit binary under test: started on a port of its own choice, ended by its process id.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const START_TIMEOUT_MS = 30_000; // a debug build on a loaded machine
const DRAIN_TIMEOUT_MS = 40_000; // the server's own bound is 30 s
// Clients come back sooner than in production, so that a cut costs a test no seconds.
const SETTINGS = { GODWIT_STREAM__RETRY_MIN_MS: "100", GODWIT_STREAM__RETRY_MAX_MS: "400" };

// The server refuses a GODWIT_ variable that it does not know, as those of the tests are.
function environment() {
  const others = Object.entries(process.env).filter(([name]) => !name.startsWith("GODWIT_"));
  return { ...Object.fromEntries(others), ...SETTINGS };
}

export class Server {
  // A server on an empty data directory, which `close` removes.
  static async start() {
    const server = new Server();
    server.dataDir = mkdtempSync(join(tmpdir(), "godwit-client-test-"));
    server.listen = "127.0.0.1:0";
    server.output = "";
    process.once("exit", () => server.close());
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
    await server.restart();
    return server;
  }

  // Starts the binary on the data directory, and, after the first start, on the same port.
  async restart() {
    const binary = process.env.GODWIT_BIN;
    if (!binary) throw new Error("GODWIT_BIN must name the godwit binary");
    const args = ["dev", "--listen", this.listen, "--admin-listen", "127.0.0.1:0", "--data-dir", this.dataDir];
    this.child = spawn(binary, args, { env: environment(), stdio: ["ignore", "pipe", "pipe"] });
    this.url = await this.#address(this.child);
    this.listen = new URL(this.url).host;
  }

  // SIGTERM; resolves to the exit code. Rejects if the drain does not end within its bound.
  async terminate() {
    const { child } = this;
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), DRAIN_TIMEOUT_MS);
    const [code, signal] = await exited;
    clearTimeout(timer);
    if (signal) throw new Error(`the server ended by ${signal} instead of draining`);
    return code;
  }

  // SIGKILL: no goodbye, nothing flushed.
  async kill() {
    const exited = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await exited;
  }

  // What the server logged as WARN or ERROR: in a test that provokes neither, there is none.
  complaints() {
    return this.output.split("\n").filter((line) => /\b(WARN|ERROR)\b|panicked at/.test(line));
  }

  close() {
    this.child?.kill("SIGKILL");
    if (this.dataDir) rmSync(this.dataDir, { recursive: true, force: true });
  }

  // The first address that the server prints is the page's.
  #address(child) {
    return new Promise((resolve, reject) => {
      let printed = "";
      const fail = (why) => reject(new Error(`the server did not start: ${why}\n${printed}`));
      const timer = setTimeout(() => fail("no address in time"), START_TIMEOUT_MS);
      const read = (part) => {
        printed += part;
        this.output += part;
        return /http:\/\/127\.0\.0\.1:\d+/.exec(printed)?.[0];
      };
      child.stderr.setEncoding("utf8").on("data", (part) => (this.output += part));
      child.stdout.setEncoding("utf8").on("data", (part) => {
        const address = read(part);
        if (!address) return;
        clearTimeout(timer);
        resolve(address);
      });
      child.once("error", (error) => fail(error.message));
      child.once("exit", (code, signal) => fail(`it ended with ${code ?? signal}\n${this.output}`));
    });
  }
}
