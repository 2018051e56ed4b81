// What the unmodified bundle needs before it is loaded, and how it is driven after that;
// the same in Node and in a browser.
"use strict";
const EVENTS = ["onConnected", "onConnectionError", "onDisconnected", "onReconnecting", "onEvent", "onNotification"];

// scope: the global object; scheme: "http:" or "https:"; tell(name, ...args): reports.
function prepare(scope, BaseSocket, scheme, tell) {
  // The bundle gives objects to send(), which a browser makes strings of; and it knows
  // wss only.
  scope.WebSocket = class extends BaseSocket {
    constructor(url, ...rest) {
      super(scheme === "https:" ? url : String(url).replace(/^wss:/, "ws:"), ...rest);
    }
    send(data) {
      tell("sent", String(data));
      super.send(String(data));
    }
  };
  // It takes an event manager with a port for an IPv6 address, and brackets it.
  const fetchAsItIs = scope.fetch.bind(scope);
  scope.fetch = (url, options) =>
    fetchAsItIs(String(url).replace(/^https?:\/\/\[([^\]]+)\]/, `${scheme}//$1`), options);
}

function drive(scope, tell, config = { logLevel: -1 }) {
  const connection = new scope.IrisRtcConnection();
  for (const name of EVENTS) connection[name] = (...args) => tell(name, ...args);
  return {
    connect(token, routingId, eventManager) {
      scope.IrisRtcConfig.updateConfig({ urls: { eventManager }, ...config });
      connection.connect(token, routingId, eventManager);
    },
    reject: (payload) => connection.rejectSession(payload),
    close: () => connection.close(),
  };
}

if (typeof module !== "undefined") module.exports = { prepare, drive };
