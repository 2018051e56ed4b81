// iris-js-sdk as it is shipped, its log going to stdout as it does; it answers nothing.
"use strict";
const WebSocket = require("ws");
const { up, meter } = require("./measure.js");
const { prepare, drive } = require("./driver.js");
const [, , url, count] = process.argv;

globalThis.window = globalThis;
globalThis.self = globalThis;
globalThis.navigator = { userAgent: "node" };
globalThis.location = { protocol: "http:", search: "" };
globalThis.addEventListener = globalThis.removeEventListener = () => {};
class NodeSocket extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: false });
  }
}
prepare(globalThis, NodeSocket, "http:", () => {});
require("iris-js-sdk/dist/iris-js-sdk.js");
const tick = meter(Number(count));
drive(globalThis, (name) => {
  if (name === "onConnected") up();
  if (name === "onNotification") tick();
}, {}).connect("any", "alice@sandbox.test", url.replace("http://", ""));
