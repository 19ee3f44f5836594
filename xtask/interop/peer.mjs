// Node's `ws` as a peer of ours, with permessage-deflate in every shape.
// node peer.mjs FOLDER client URL   talks to our echo server
// node peer.mjs FOLDER server       serves an echo of each shape, and says where
// (FOLDER has the package)

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [folder, role, url] = process.argv.slice(2);
const { WebSocket, WebSocketServer } = createRequire(resolve(folder, "package.json"))("ws");

const SHAPES = [true, false].flatMap((takeover) => [9, 10, 11, 12, 13, 14, 15].map((bits) => ({ takeover, bits })));
const MIB = 1 << 20;

function options({ takeover, bits }) {
  const limits = { serverMaxWindowBits: bits, clientMaxWindowBits: bits };
  return { ...limits, serverNoContextTakeover: !takeover, clientNoContextTakeover: !takeover, threshold: 0 };
}

/// What was agreed, whichever side we are.
function check(ws, { takeover, bits }) {
  const { params } = ws._extensions["permessage-deflate"];
  assert.equal(params.server_no_context_takeover ?? false, !takeover);
  assert.equal(params.client_no_context_takeover ?? false, !takeover);
  assert.equal(params.server_max_window_bits ?? 15, bits);
  assert.equal(params.client_max_window_bits ?? 15, bits);
}

function json(size) {
  const items = [];
  for (let id = 0, length = 0; length < size; id++) {
    items.push({ id, name: `user ${id % 97}`, price: (id * 37) % 1000, tags: ["a", "b", `tag ${id % 13}`], ok: id % 3 === 0 });
    length += JSON.stringify(items.at(-1)).length + 1;
  }
  return JSON.stringify(items).slice(0, size);
}

const messages = () => [
  "", Buffer.alloc(0), "x", Buffer.from([0xff]), "é".repeat(62) + "x", randomBytes(125), json(65536), randomBytes(65536),
  randomBytes(MIB), json(MIB),
];

async function client(shape) {
  const ws = new WebSocket(url, { perMessageDeflate: options(shape), maxPayload: 4 * MIB });
  const broken = once(ws, "close").then(([code, reason]) => { throw new Error(`closed with ${code} ${reason}`); });
  broken.catch(() => {});
  await Promise.race([once(ws, "open"), broken]);
  check(ws, shape);
  const echo = async (message) => {
    const [data, binary] = await Promise.race([once(ws, "message"), broken]);
    assert.equal(binary, typeof message !== "string");
    assert.ok(Buffer.from(message).equals(data), `${message.length} came back as ${data.length}`);
  };
  let count = 0;
  for (const message of messages()) {
    for (let time = 0; time < 2; time++, count++) {
      const before = ws._socket.bytesRead;
      ws.send(message);
      await echo(message);
      // It was compressed, and not only agreed to be.
      if (typeof message === "string" && message.length > 1000) assert.ok(ws._socket.bytesRead - before < message.length / 2);
    }
  }
  // In fragments.
  const parts = [json(5000), "", "z".repeat(300), ""];
  parts.forEach((part, at) => ws.send(part, { fin: at + 1 === parts.length }));
  await echo(parts.join(""));
  ws.close(1000);
  const [code] = await once(ws, "close");
  assert.equal(code, 1000);
  return count + 1;
}

function server(shape) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: options(shape), maxPayload: 4 * MIB });
  server.on("connection", (ws) => {
    try {
      check(ws, shape);
    } catch (error) {
      console.error(`ws as a server, ${JSON.stringify(shape)}: ${error.message}`);
      return ws.close(1011, "agreed on something else");
    }
    ws.on("error", (error) => console.error(`ws as a server, ${JSON.stringify(shape)}: ${error.message}`));
    ws.on("message", (data, binary) => ws.send(data, { binary }));
  });
  server.on("listening", () => console.log(`ready ${shape.takeover} ${shape.bits} ws://127.0.0.1:${server.address().port}`));
}

if (role === "server") {
  SHAPES.forEach(server);
} else {
  let count = 0;
  for (const shape of SHAPES) {
    count += await client(shape).catch((error) => { error.message = `${JSON.stringify(shape)}: ${error.message}`; throw error; });
  }
  console.log(`${SHAPES.length} connections, ${count} messages: all came back`);
}
