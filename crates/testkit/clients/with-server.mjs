// Runs a command against a fresh server, whose URL it finds in GODWIT_URL, and ends with its exit code.
// GODWIT_BIN=target/debug/godwit node with-server.mjs bash curl.sh

import { spawn } from "node:child_process";
import { once } from "node:events";

import { Server } from "./server.mjs";

const [command, ...args] = process.argv.slice(2);
if (!command) {
  console.error("usage: with-server.mjs COMMAND [ARGUMENT…]");
  process.exit(64);
}

const server = await Server.start();
const client = spawn(command, args, { env: { ...process.env, GODWIT_URL: server.url }, stdio: "inherit" });
const [code, signal] = await once(client, "exit");
if (signal) console.log(`FAIL ${command} was ended by ${signal}`);
const drained = await server.terminate();
const complaints = server.complaints();
if (drained !== 0) console.log(`FAIL the server ended with ${drained} after SIGTERM`);
if (complaints.length > 0) console.log(`FAIL the server logged:\n${complaints.join("\n")}`);
process.exit(code || signal || drained || complaints.length ? 1 : 0);
