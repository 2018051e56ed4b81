// CPU from the first notification to the last, of this process alone: the same as
// measure.py. It goes to stderr, because clients write their logs to stdout.
"use strict";
exports.up = () => process.stderr.write("up\n");
exports.meter = (count) => {
  let left = count, began;
  return () => {
    if (left === count) began = process.cpuUsage();
    if (--left) return;
    const { user, system } = process.cpuUsage(began);
    process.stderr.write(JSON.stringify({ cpu: (user + system) / 1e6, count: count - 1 }) + "\n", () => process.exit(0));
  };
};
