// The official client in a browser: opens PAGE in CHROMIUM, passes commands from stdin on
// to it, and writes down what happens there, as harness.js does.
"use strict";
const { chromium } = require("playwright-core");
const { commands } = require("./lines.js");
const tell = (name, ...args) => process.stdout.write(JSON.stringify({ name, args }) + "\n");

(async () => {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    // A container has no user namespaces and little shared memory.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
  });
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.on("pageerror", (error) => tell("pageError", String(error)));
  await page.exposeFunction("tell", tell);
  await page.goto(process.env.PAGE);
  commands(
    (name, args) => page.evaluate(([name, args]) => window.does[name](...args), [name, args]),
    async () => {
      await browser.close();
      process.exit(0);
    },
  );
  tell("ready");
})().catch((error) => {
  process.stderr.write(String(error) + "\n");
  process.exit(1);
});
