// People chat through `ws serve` from a real browser.
// node chat.mjs FOLDER CHROMIUM SERVER-COMMAND…   (FOLDER has playwright-core, and gets the screenshots)

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const [folder, executablePath, ...serverCommand] = process.argv.slice(2);
const { chromium } = createRequire(resolve(folder, "package.json"))("playwright-core");

const WITHIN = 20_000;
const MARKUP = "<b>bold</b> & <img src=x onerror=alert(1)> </script>";
const EMOJI = "👩‍👩‍👧‍👦 🏳️‍🌈 é ünï 早上好 \u202eright to left";

let passed = 0;
const complaints = [];

async function main() {
  let server = await startServer("127.0.0.1:0");
  const browser = await chromium.launch({
    executablePath,
    // The certificate of a server over TLS is of that run only.
    args: ["--ignore-certificate-errors", "--no-sandbox", "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  try {
    const open = (nick, room, options) => openPage(browser, server.url, nick, room, options);
    const ada = await open("ada", "garden");
    const bob = await open("bob", "garden", { colorScheme: "dark" });
    const eve = await open("eve", "cellar");

    await check("everyone sees who is here", async () => {
      await sees(ada, "#members", ["ada", "bob"]);
      await sees(bob, "#members", ["ada", "bob"]);
      await sees(eve, "#members", ["eve"]);
      await seesNotice(ada, "bob joined");
    });
    await check("messages are compressed", async () => {
      for (const page of [ada, bob, eve]) {
        const agreed = await page.evaluate(() => window.sockets.at(-1).extensions);
        assert.match(agreed, /^permessage-deflate\b/);
      }
    });
    await check("typing is shown live, and ends", async () => {
      await ada.locator("#input").pressSequentially("Good mor");
      await text(bob, "#typing", "ada is typing…");
      await ada.locator("#input").fill("");
      await text(bob, "#typing", "");
    });
    await check("messages cross within a room", async () => {
      await say(ada, "Good morning!");
      await hears(bob, "ada", "Good morning!");
      await hears(ada, "ada", "Good morning!");
      await say(bob, "Good morning, Ada.\nThe tomatoes are watered.");
      await hears(ada, "bob", "Good morning, Ada.\nThe tomatoes are watered.");
    });
    await check("markup arrives as it was typed, and stays text", async () => {
      await say(ada, MARKUP);
      await hears(bob, "ada", MARKUP);
      assert.equal(await bob.locator("#log b, #log img, #log script").count(), 0);
    });
    await check("emoji and every script arrive as they were typed", async () => {
      await say(bob, EMOJI);
      await hears(ada, "bob", EMOJI);
    });
    await check("nothing crosses to another room", async () => {
      await say(eve, "Is anybody here?");
      await hears(eve, "eve", "Is anybody here?");
      assert.deepEqual(await messages(eve), ["Is anybody here?"]);
      assert.ok(!(await messages(ada)).includes("Is anybody here?"));
    });
    await check("whoever comes later sees what was said", async () => {
      const before = await messages(ada);
      const late = await open("grace", "garden", { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
      assert.deepEqual(await messages(late), before);
      await sees(ada, "#members", ["ada", "bob", "grace"]);
      await say(late, "Hello from the phone 🌱");
      await hears(ada, "grace", "Hello from the phone 🌱");
      await screenshots(ada, bob, late);
      await late.context().close();
      await seesNotice(ada, "grace left");
      await sees(ada, "#members", ["ada", "bob"]);
    });
    await check("a nickname can be changed, and is remembered", async () => {
      await bob.fill("#nick", "Bob Ross");
      await bob.press("#nick", "Enter");
      await seesNotice(ada, "bob is now Bob Ross");
      await sees(ada, "#members", ["Bob Ross", "ada"]);
      await seesNotice(bob, "You are now Bob Ross");
      await say(bob, "New name, same Bob.");
      await hears(ada, "Bob Ross", "New name, same Bob.");
      await bob.reload();
      await connected(bob);
      await sees(bob, "#members", ["Bob Ross", "ada"]);
    });
    await check("a message of 4096 characters goes through, and one more is not sent", async () => {
      await say(ada, "x".repeat(4096));
      await hears(bob, "ada", "x".repeat(4096));
      await ada.fill("#input", "y".repeat(4097));
      await ada.press("#input", "Enter");
      await text(ada, "#hint", /too long/);
      assert.equal(await ada.inputValue("#input"), "y".repeat(4097));
      await ada.fill("#input", "");
    });
    await check("the title counts what was said while the tab was hidden", async () => {
      await hide(bob, true);
      await say(ada, "Are you there?");
      await bob.waitForFunction(() => document.title.startsWith("(1)"), null, { timeout: WITHIN });
      await hide(bob, false);
      await bob.waitForFunction(() => !document.title.startsWith("("), null, { timeout: WITHIN });
    });
    await check("a server that dies is survived by reconnecting", async () => {
      const old = server;
      await old.stop("SIGKILL");
      await ada.waitForSelector("#banner[data-code='1006']");
      await text(ada, "#why", /Reconnecting/);
      await ada.fill("#input", "Written while away");
      await text(ada, "#hint", /stays here/);
      await ada.press("#input", "Enter");
      assert.equal(await ada.inputValue("#input"), "Written while away");
      await ada.screenshot({ path: join(folder, "reconnecting.png") });
      server = await startServer(old.address);
      await connected(ada);
      await connected(bob);
      assert.equal(await ada.locator("#banner").isVisible(), false);
      assert.ok((await messages(ada)).includes("Good morning!"), "what was on the page is still there");
      await sees(ada, "#members", ["Bob Ross", "ada"]);
      assert.equal(await ada.inputValue("#input"), "Written while away");
      await ada.press("#input", "Enter");
      await hears(bob, "ada", "Written while away");
    });
    await check("Ctrl-C closes with 1001 and ends with status 0", async () => {
      const status = await server.stop("SIGINT");
      assert.deepEqual(status, { code: 0, signal: null });
      await ada.waitForSelector("#banner[data-code='1001']");
      await text(ada, "#status", /Reconnecting/);
    });
    await check("over TLS the page and its WebSockets share one HTTP/2 connection", async () => {
      const secure = await startServer("127.0.0.1:0", "--tls-self-signed");
      const over = (nick) => openPage(browser, secure.url, nick, "garden", { ignoreHTTPSErrors: true });
      const ida = await over("ida");
      const joe = await over("joe");
      for (const page of [ida, joe]) {
        assert.equal(await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol), "h2");
        // RFC 8441: a WebSocket over HTTP/2 is answered with 200, one over HTTP/1.1 with 101.
        const statuses = await statusesOfReconnecting(page);
        assert.deepEqual(statuses, [200]);
        assert.match(await page.evaluate(() => window.sockets.at(-1).extensions), /^permessage-deflate\b/);
        assert.equal(await page.evaluate(() => window.sockets.at(-1).protocol), "chat.v1");
      }
      await say(ida, "Hello over HTTP/2");
      await hears(joe, "ida", "Hello over HTTP/2");
      const status = await secure.stop("SIGINT");
      assert.deepEqual(status, { code: 0, signal: null });
      for (const page of [ida, joe]) await page.waitForSelector("#banner[data-code='1001']");
    });
    await check("no page ran into an error or its content security policy", async () => assert.deepEqual(complaints, []));
  } finally {
    await browser.close();
  }
  console.log(`\n${passed} passed, 0 failed\nscreenshots: ${folder}`);
}

// ---- the server

async function startServer(address, ...more) {
  const [program, ...args] = serverCommand;
  const child = spawn(program, [...args, "--addr", address, ...more], { stdio: ["ignore", "pipe", "inherit"] });
  process.on("exit", () => child.kill("SIGKILL"));
  const ended = once(child, "exit").then(([code, signal]) => ({ code, signal }));
  const lines = createInterface({ input: child.stdout });
  const url = await Promise.race([
    new Promise((found) => lines.on("line", (line) => { const it = line.match(/https?:\/\/[^\s/]+\//); if (it) found(it[0]); })),
    ended.then((how) => { throw new Error(`the server ended before it said where it listens: ${JSON.stringify(how)}`); }),
    after(WITHIN, "the server did not say where it listens"),
  ]);
  return {
    url,
    address: new URL(url).host,
    stop(signal) {
      child.kill(signal);
      return Promise.race([ended, after(WITHIN, `the server did not end after ${signal}`)]);
    },
  };
}

function after(ms, words) {
  return new Promise((_, fail) => setTimeout(() => fail(new Error(words)), ms).unref());
}

// ---- a person with a page

async function openPage(browser, url, nick, room, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light", locale: "en-GB", ...options });
  context.setDefaultTimeout(WITHIN);
  await context.addInitScript((nick) => { if (!localStorage.getItem("nick")) localStorage.setItem("nick", nick); }, nick);
  // Keeps the sockets of the page where we can ask them what was agreed.
  await context.addInitScript(() => {
    window.sockets = [];
    window.WebSocket = class extends WebSocket { constructor(...args) { super(...args); window.sockets.push(this); } };
  });
  const page = await context.newPage();
  page.on("dialog", (dialog) => { complaints.push(`${nick}: a dialog opened: ${dialog.message()}`); dialog.dismiss(); });
  page.on("pageerror", (error) => complaints.push(`${nick}: ${error}`));
  page.on("console", (line) => { if (/Content Security Policy|Refused to/.test(line.text())) complaints.push(`${nick}: ${line.text()}`); });
  await page.goto(`${url}r/${room}`);
  await connected(page);
  return page;
}

// The status of each WebSocket handshake that the page makes while it loads anew.
async function statusesOfReconnecting(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Network.enable");
  const statuses = [];
  devtools.on("Network.webSocketHandshakeResponseReceived", ({ response }) => statuses.push(response.status));
  await page.reload();
  await connected(page);
  await devtools.detach();
  return statuses;
}

const connected = (page) => page.waitForSelector("body[data-state=open]");
const messages = (page) => page.locator("#log .message .text").allTextContents();

async function say(page, words) {
  await page.fill("#input", words);
  await page.press("#input", "Enter");
}

async function hears(page, nick, words) {
  await until(page, `${nick} saying ${JSON.stringify(words)}`, ([nick, words]) =>
    [...document.querySelectorAll("#log .message")].some((it) => it.dataset.nick === nick && it.querySelector(".text").textContent === words), [nick, words]);
}

async function sees(page, list, names) {
  await until(page, `${list} with ${names}`, ([list, names]) =>
    JSON.stringify([...document.querySelectorAll(`${list} li`)].map((it) => it.dataset.nick).sort()) === names, [list, JSON.stringify([...names].sort())]);
}

async function seesNotice(page, words) {
  await until(page, `the notice "${words}"`, (words) => [...document.querySelectorAll("#log .notice")].some((it) => it.textContent === words), words);
}

async function text(page, selector, wanted) {
  const [source, flags] = wanted instanceof RegExp ? [wanted.source, wanted.flags] : [null, null];
  await until(page, `${selector} reading ${wanted}`, ([selector, wanted, source, flags]) => {
    const text = document.querySelector(selector).textContent;
    return source === null ? text === wanted : new RegExp(source, flags).test(text);
  }, [selector, source === null ? wanted : "", source, flags]);
}

async function until(page, what, condition, argument) {
  await page.waitForFunction(condition, argument, { timeout: WITHIN }).catch(async () => {
    await page.screenshot({ path: join(folder, "failed.png") });
    assert.fail(`the page did not show ${what} within ${WITHIN / 1000} s (see ${join(folder, "failed.png")})`);
  });
}

function hide(page, hidden) {
  return page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
}

async function screenshots(light, dark, phone) {
  for (const words of ["And the basil?", "It looks thirsty."]) { await say(light, words); await hears(dark, "ada", words); await hears(phone, "ada", words); }
  await light.locator("#input").pressSequentially("I can do");
  await text(dark, "#typing", "ada is typing…");
  await text(phone, "#typing", "ada is typing…");
  await dark.screenshot({ path: join(folder, "desktop-dark.png") });
  await phone.screenshot({ path: join(folder, "phone.png") });
  await light.fill("#input", "");
  await light.screenshot({ path: join(folder, "desktop-light.png") });
}

async function check(name, body) {
  await body().catch((error) => { error.message = `${name}: ${error.message}`; throw error; });
  passed++;
  console.log(`ok ${name}`);
}

await main().catch((error) => {
  console.error(`\nnot ok ${error.stack}`);
  console.log(`\n${passed} passed, 1 failed`);
  process.exit(1);
});
