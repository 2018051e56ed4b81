// Commands as JSON lines on stdin, until it ends or DEADLINE seconds are over.
"use strict";
exports.commands = (perform, end) => {
  require("readline")
    .createInterface({ input: process.stdin })
    .on("line", (line) => {
      const { name, args } = JSON.parse(line);
      perform(name, args);
    })
    .on("close", end);
  setTimeout(() => process.exit(3), 1000 * Number(process.env.DEADLINE || 60));
};
