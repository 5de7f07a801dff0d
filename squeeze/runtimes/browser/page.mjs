// Runs and times ONNX models with onnxruntime-web. job.json says what:
//
//   provider, bundle, threads   of the runtime
//   models                      a list of feeds each: what its inputs are (name, dtype, dims), no bytes
//   timing                      null, or {runs, seconds}: models take turns, each with its first feed
//
// model/I is the file of model I; feed/I/K/J the bytes of input J of its feed K. The outputs of each feed go to
// output/I/K (a line of JSON, then the bytes), and what else is to be told to end.
const ARRAYS = {
  bool: Uint8Array, float16: Uint16Array, float32: Float32Array, float64: Float64Array, int8: Int8Array,
  int16: Int16Array, int32: Int32Array, int64: BigInt64Array, uint8: Uint8Array, uint16: Uint16Array,
  uint32: Uint32Array, uint64: BigUint64Array,
};
const WARM_UPS = 10, ROUNDS = 20, FEWEST_ROUNDS = 3;
const LEAST_MS = 0.5; // of one reading: the clock ticks every 5 us

const told = { failed: null, rounds: null, said: [] };
const MOST_LINES = 20000;

async function bytes(name) {
  return (await fetch(name)).arrayBuffer();
}

async function attempt(model, doing, work) {
  try {
    return await work();
  } catch (error) {
    told.failed = { model, doing, why: String(error?.message ?? error) };
    throw error;
  }
}

// What the runtime says on the console: who runs which node, and which node failed.
function listen() {
  for (const level of ['log', 'debug', 'info', 'warn', 'error']) {
    console[level] = (...words) => {
      if (told.said.length < MOST_LINES) told.said.push(words.map(String).join(' '));
    };
  }
}

async function tensors(ort, feed, place) {
  const made = {};
  for (const [j, { name, dtype, dims }] of feed.entries()) {
    made[name] = new ort.Tensor(dtype, new ARRAYS[dtype](await bytes(`feed/${place}/${j}`)), dims);
  }
  return made;
}

async function answer(outputs, place) {
  const heads = [], parts = [];
  for (const [name, { type, dims, data }] of Object.entries(outputs)) {
    heads.push({ name, dtype: type, dims, bytes: data.byteLength });
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  await fetch(`output/${place}`, { method: 'POST', body: new Blob([JSON.stringify(heads), '\n', ...parts]) });
}

// Runs a model until it is warm: ms of a run. A very slow one is run twice.
async function warmUp(run, most) {
  const took = [], began = performance.now();
  while (took.length < WARM_UPS && (took.length < 2 || performance.now() - began < most)) {
    const start = performance.now();
    await run();
    took.push(performance.now() - start);
  }
  const last = took.slice(-5).sort((a, b) => a - b);
  return Math.max(last[last.length >> 1], 0.001);
}

// One burst of each model a round, so that what changes on the machine meets all of them; ns of each reading.
async function takeTurns(runs, { runs: wanted, seconds }) {
  const deadline = performance.now() + 1000 * seconds;
  const times = [];
  for (const run of runs) times.push(await warmUp(run, (250 * seconds) / runs.length));
  const turn = times.reduce((sum, ms) => sum + Math.max(ms, LEAST_MS), 0);
  const counted = Math.min(wanted, Math.max(Math.floor((500 * seconds) / turn), FEWEST_ROUNDS));
  const rounds = Math.min(ROUNDS, Math.max(counted, FEWEST_ROUNDS));
  const burst = Math.ceil(counted / rounds);
  const taken = runs.map(() => []);
  for (let round = 0; round < rounds; round++) {
    if (round >= FEWEST_ROUNDS && performance.now() > deadline) break;
    for (let turn = 0; turn < runs.length; turn++) {
      const i = (round + turn) % runs.length;
      const together = Math.ceil(LEAST_MS / times[i]);
      await runs[i](); // the other model has just emptied the caches
      const readings = [];
      for (let reading = 0; reading < burst; reading++) {
        const start = performance.now();
        for (let k = 0; k < together; k++) await runs[i]();
        readings.push(Math.round((1e6 * (performance.now() - start)) / together));
      }
      taken[i].push(readings);
    }
  }
  return taken;
}

async function work() {
  const job = await (await fetch('job.json')).json();
  const ort = await import(`./ort/${job.bundle}`);
  ort.env.wasm.numThreads = job.threads;
  ort.env.wasm.wasmPaths = new URL('ort/', location.href).href;
  ort.env.logLevel = job.placement ? 'verbose' : 'error';
  const options = { executionProviders: [job.provider], logSeverityLevel: job.placement ? 0 : 3 };
  listen();
  const runs = [];
  for (const [i, feeds] of job.models.entries()) {
    const session = await attempt(i, 'open', async () =>
      ort.InferenceSession.create(new Uint8Array(await bytes(`model/${i}`)), options));
    for (const [k, feed] of feeds.entries()) {
      const given = await tensors(ort, feed, `${i}/${k}`);
      await answer(await attempt(i, 'run', () => session.run(given)), `${i}/${k}`);
      if (k === 0) runs.push(() => session.run(given));
    }
  }
  if (job.timing) told.rounds = await takeTurns(runs, job.timing);
}

try {
  await work();
} catch (error) {
  told.failed ??= { model: null, doing: 'begin', why: String(error?.message ?? error) };
}
await fetch('end', { method: 'POST', body: JSON.stringify(told) });
