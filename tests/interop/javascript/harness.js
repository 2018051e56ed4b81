// The official client in Node: commands come as JSON lines on stdin, what happens goes as
// JSON lines to stdout. Ends when stdin does, or after DEADLINE seconds.
"use strict";
const WebSocket = require("ws");
const { prepare, drive } = require("./driver.js");
const { commands } = require("./lines.js");
const tell = (name, ...args) => process.stdout.write(JSON.stringify({ name, args }) + "\n");

// The bundle wants a browser.
globalThis.window = globalThis;
globalThis.self = globalThis;
globalThis.navigator = { userAgent: "node" };
globalThis.location = { protocol: process.env.SCHEME, search: "" };
globalThis.addEventListener = globalThis.removeEventListener = () => {};
class NodeSocket extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: false });
  }
}
prepare(globalThis, NodeSocket, process.env.SCHEME, tell);
for (const level of ["log", "info", "warn", "error", "debug"]) console[level] = () => {};
require("iris-js-sdk/dist/iris-js-sdk.js");

const does = drive(globalThis, tell);
commands((name, args) => does[name](...args), () => process.exit(0));
tell("ready");
