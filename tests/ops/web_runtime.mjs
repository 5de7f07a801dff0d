// Runs the models of a folder in onnxruntime-web's WebAssembly; called by test_other_runtimes.py.
//
//   node web_runtime.mjs FOLDER
//
// models.json lists {name, feeds: [{name, type, dims}]}: <name>.onnx is fed <name>.<feed>.bin, and its output goes to
// <name>.body.bin.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ort from 'onnxruntime-web/wasm';

ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'fatal';
const folder = process.argv[2];
const arrays = {
  float32: Float32Array, int8: Int8Array, uint8: Uint8Array, int32: Int32Array, int64: BigInt64Array,
};
for (const { name, feeds } of JSON.parse(readFileSync(join(folder, 'models.json'), 'utf8'))) {
  const session = await ort.InferenceSession.create(readFileSync(join(folder, `${name}.onnx`)));
  const tensors = {};
  for (const feed of feeds) {
    const bytes = new Uint8Array(readFileSync(join(folder, `${name}.${feed.name}.bin`))).buffer;
    tensors[feed.name] = new ort.Tensor(feed.type, new arrays[feed.type](bytes), feed.dims);
  }
  const { y } = await session.run(tensors);
  writeFileSync(join(folder, `${name}.body.bin`), Buffer.from(y.data.buffer, y.data.byteOffset, y.data.byteLength));
}
process.exit(0); // it keeps threads alive
