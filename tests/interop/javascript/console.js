// A person before the console: opens PAGE in CHROMIUM, as OPERATOR (name:password) if there is
// one, does what stdin says, and answers
// each command with what it saw.
"use strict";
const fs = require("node:fs");
const { chromium } = require("playwright-core");
const { commands } = require("./lines.js");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const tell = (name, ...args) => process.stdout.write(JSON.stringify({ name, args }) + "\n");

(async () => {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
  });
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  const strangers = [];
  page.on("pageerror", (error) => tell("pageError", String(error)));
  page.on("console", (message) => message.type() === "error" && tell("consoleError", message.text()));
  page.on("request", (request) => {
    const asked = new URL(request.url());
    asked.username = asked.password = "";
    if (!asked.href.startsWith(process.env.PAGE)) strangers.push(asked.href);
  });
  const address = new URL(process.env.PAGE);
  [address.username, address.password] = (process.env.OPERATOR ?? "").split(":");
  await page.goto(address.href);
  const does = {
    text: (selector) => page.locator(selector).allInnerTexts(),
    until: (selector) => page.locator(selector).first().waitFor({ state: "visible" }),
    gone: (selector) => page.locator(selector).first().waitFor({ state: "hidden" }),
    click: (selector) => page.locator(selector).first().click(),
    fill: (selector, text) => page.locator(selector).fill(text),
    press: (key) => page.keyboard.press(key),
    focused: () => page.evaluate(() => document.activeElement.outerHTML),
    evaluate: (code) => page.evaluate(code),
    tree: () => page.locator("body").ariaSnapshot(),
    shot: async (path, colorScheme) => {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path });
    },
    // What stops who sees little, hears the page or uses only the keyboard, as axe-core finds it.
    barriers: async () => {
      await page.evaluate(axe);
      const found = [];
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        const [passed, barriers] = await page.evaluate(
          "axe.run().then(({ passes, violations }) => [passes.length, violations.map("
          + "({ help, nodes }) => `${help}: ${nodes.map((node) => node.html)}`)])",
        );
        found.push(...barriers.map((words) => `${colorScheme}: ${words}`));
        if (!passed) found.push("nothing was looked at");
      }
      return found;
    },
    size: (width, height) => page.setViewportSize({ width, height }),
    strangers: () => strangers,
    content: () => page.content(),
  };
  commands(
    async (name, args) => {
      try {
        tell("did", (await does[name](...args)) ?? null);
      } catch (error) {
        tell("failed", String(error));
        tell("did", null);
      }
    },
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
