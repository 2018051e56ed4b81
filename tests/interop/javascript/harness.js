// Drives the official client, unmodified: commands come as JSON lines on stdin, what
// happens goes as JSON lines to stdout. Ends when stdin does, or after DEADLINE seconds.
"use strict";
const WebSocket = require("ws");
const tell = (name, ...args) => process.stdout.write(JSON.stringify({ name, args }) + "\n");

// The bundle wants a browser. It gives objects to send(), which a browser makes strings of.
class BrowserSocket extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: false });
  }
  send(data) {
    tell("sent", String(data));
    super.send(String(data));
  }
}
const secure = process.env.SCHEME === "https:";
globalThis.WebSocket = BrowserSocket;
globalThis.window = globalThis;
globalThis.self = globalThis;
globalThis.navigator = { userAgent: "node" };
globalThis.location = { protocol: process.env.SCHEME, search: "" };
globalThis.addEventListener = globalThis.removeEventListener = () => {};
// It takes an event manager with a port for an IPv6 address, and brackets it.
const fetchAsItIs = globalThis.fetch;
globalThis.fetch = (url, options) =>
  fetchAsItIs(String(url).replace(/^https?:\/\/\[([^\]]+)\]/, `${process.env.SCHEME}//$1`), options);
// And it knows wss only.
if (!secure) {
  globalThis.WebSocket = class extends BrowserSocket {
    constructor(url, protocols) {
      super(String(url).replace(/^wss:/, "ws:"), protocols);
    }
  };
}
for (const level of ["log", "info", "warn", "error", "debug"]) console[level] = () => {};
require("iris-js-sdk/dist/iris-js-sdk.js");

const connection = new IrisRtcConnection();
for (const name of ["onConnected", "onConnectionError", "onDisconnected", "onReconnecting", "onEvent", "onNotification"]) {
  connection[name] = (...args) => tell(name, ...args);
}
const commands = {
  connect(token, routingId, eventManager) {
    IrisRtcConfig.updateConfig({ urls: { eventManager }, logLevel: -1 });
    connection.connect(token, routingId, eventManager);
  },
  reject: (payload) => connection.rejectSession(payload),
  close: () => connection.close(),
};
require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { name, args } = JSON.parse(line);
    commands[name](...args);
  })
  .on("close", () => process.exit(0));
setTimeout(() => process.exit(3), 1000 * Number(process.env.DEADLINE || 60));
tell("ready");
