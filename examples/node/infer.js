// node infer.js ADDON MODEL LIBRARY SIZE... < input > output: plain floats, as examples/cpp/infer does.
const fs = require("node:fs");
const path = require("node:path");

const [addon, model, library, ...sizes] = process.argv.slice(2);
const { Session } = require(path.resolve(addon));
const bytes = fs.readFileSync(0);
const input = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const output = new Session(model, path.resolve(library)).run(input, sizes.map(Number));
fs.writeSync(1, new Uint8Array(output.buffer));
