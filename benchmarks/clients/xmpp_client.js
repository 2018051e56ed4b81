// @xmpp/client, answering each IQ.
"use strict";
const WebSocket = require("ws");
const { up, meter } = require("./measure.js");
const [, , url, count] = process.argv;

// Node 20 has none of its own.
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: false });
  }
};

import("@xmpp/client").then(({ client }) => {
  const xmpp = client({ service: url.replace("http", "ws") + "/xmpp-websocket", domain: "sandbox.test" });
  const tick = meter(Number(count));
  xmpp.iqCallee.set("jabber:iq:private", "query", (context) => {
    const data = context.element.getChild("data");
    JSON.parse(data.attrs.userdata);
    tick();
    return true;
  });
  xmpp.on("online", up);
  xmpp.on("error", () => {});
  return xmpp.start();
});
