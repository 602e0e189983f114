// bench.mjs - the measurements. Each prints ours, the peer's (or the physical
// limit's) figure and the ratio; rounds alternate between the engines, because
// the machine's speed drifts.

import fs from 'node:fs';
import path from 'node:path';
import { execFileSync, spawn } from 'node:child_process';
import { Engine, pss, cpuSeconds, median, sleep } from './engines.mjs';
import { hypervBenches } from './hyperv.mjs';

const top = process.cwd();
const root = fs.mkdtempSync('/var/tmp/tabique-bench-');
const release = path.join(top, 'build/release');
const programs = path.join(top, 'build/bench-programs/tests/bench');
const peerRoot = path.join(top, 'build/bench/docker');
const libraries = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu'].map((p) => path.join(peerRoot, p)).join(':');

const ourEngine = (dir, ...more) => new Engine('tabique', path.join(root, dir), path.join(release, 'server/tabique'), [
  '--data-dir', path.join(root, dir, 'data'), '--run-dir', path.join(root, dir, 'run'), '--socket', path.join(root, dir, 'engine.sock'),
  '--listen', '127.0.0.1:9643', '--libexec-dir', path.join(release, 'libexec'), '--web-dir', path.join(top, 'build/web'),
  '--base-image', path.join(top, 'build/base-image.tar'), ...more]); // each in a network namespace of its own
const ours = ourEngine('t');
const docker = new Engine('docker', path.join(root, 'd'), path.join(peerRoot, 'usr/sbin/dockerd'), [
  '--data-root', path.join(root, 'd/data'), '--exec-root', path.join(root, 'd/run'), '--pidfile', path.join(root, 'd/pid'),
  '-H', `unix://${path.join(root, 'd/engine.sock')}`], {
  LD_LIBRARY_PATH: libraries, XTABLES_LIBDIR: path.join(peerRoot, 'usr/lib/x86_64-linux-gnu/xtables'),
  PATH: `${peerRoot}/usr/sbin:${peerRoot}/usr/bin:${process.env.PATH}` });

const results = [];
function report(name, aim, tabique, peer, unit, peerName = 'docker') {
  const ratio = tabique / peer;
  results.push({ name, aim, tabique, peer, peerName, unit, ratio });
  const show = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(2));
  console.log(`${name.padEnd(48)} ${show(tabique).padStart(9)} ${unit.padEnd(5)} ${peerName} ${show(peer).padStart(9)}  ratio 1/${(1 / ratio).toFixed(1)}  (aim ${aim})`);
}

const milliseconds = (work) => {
  const start = process.hrtime.bigint();
  const done = () => Number(process.hrtime.bigint() - start) / 1e6;
  const result = work();
  return result instanceof Promise ? result.then(done) : done();
};

async function alternate(rounds, work) {
  const times = { ours: [], peer: [] };
  await work(ours); await work(docker); // warm both
  for (let i = 0; i < rounds; i++) {
    times.ours.push(await milliseconds(() => work(ours)));
    times.peer.push(await milliseconds(() => work(docker)));
  }
  return [median(times.ours), median(times.peer)];
}

const restClient = (...args) => +execFileSync(path.join(programs, 'rest_client'), args, { encoding: 'utf8' });

const image = 'tabique/base';
const long = { Image: image, Cmd: ['sleep', '1000000'] };

const benches = {
  async 'cli-run'() {
    const [a, b] = await alternate(15, (engine) => engine.docker('run', '--rm', image, 'true'));
    report('docker run --rm true (same CLI, bridge)', '1/8', a, b, 'ms');
  },

  async 'rest-start'() {
    // First instruction: the container's own program writes into a FIFO.
    const dir = fs.mkdtempSync(path.join(root, 'fifo-'));
    execFileSync('mkfifo', [path.join(dir, 'f')]);
    const times = { tabique: [], docker: [] };
    const bare = [];
    for (let i = 0; i < 21; i++) {
      for (const engine of [ours, docker]) {
        times[engine.name].push(restClient('start', engine.socket, image, dir));
      }
      bare.push(+execFileSync(path.join(programs, 'bare_start'), [path.join(root, 'bare')], { encoding: 'utf8' }));
    }
    report('create+start to first instruction (REST)', '1/8', median(times.tabique), median(times.docker), 'ms');
    report('  the same beside bare clone+pivot_root+exec', '3x', median(times.tabique), median(bare), 'ms', 'bare  ');
  },

  async top() {
    const ids = [await ours.run(long), await docker.run(long)];
    const times = [[], []];
    for (let i = 0; i < 7; i++) {
      for (const [n, engine] of [ours, docker].entries()) times[n].push(restClient('get', engine.socket, `/containers/${ids[n]}/top`, '21'));
    }
    const [a, b] = times.map(median);
    report('top over REST', '1/20', a, b, 'ms');
    await ours.remove([ids[0]]); await docker.remove([ids[1]]);
  },

  async build() {
    // Ten steps: commands, files, metadata. By the CLI and the classic builder, as people type it.
    const dir = fs.mkdtempSync(path.join(root, 'context-'));
    fs.mkdirSync(path.join(dir, 'src'));
    for (let i = 0; i < 200; i++) fs.writeFileSync(path.join(dir, `src/file-${i}`), `${i}\n`.repeat(500));
    fs.writeFileSync(path.join(dir, 'Dockerfile'), `FROM ${image}
ENV MODE=release
WORKDIR /app
COPY src/file-0 ./
RUN cat file-0 | wc -l > lines
COPY src/ ./src/
RUN cat src/* > all
RUN rm -r src && mkdir out
EXPOSE 8080
CMD ["cat", "all"]
`);
    const environment = { env: { ...process.env, DOCKER_BUILDKIT: '0' }, stdio: 'ignore' };
    const once = (...args) => async (engine) => {
      execFileSync('docker', ['-H', `unix://${engine.socket}`, 'build', '-q', '-t', 'bench-build', ...args, dir], environment);
    };
    const [cold, peerCold] = await alternate(9, once('--no-cache'));
    report('docker build of ten steps, cold', '-', cold, peerCold, 'ms');
    const [cached, peerCached] = await alternate(9, once());
    report('  the same, cached', '-', cached, peerCached, 'ms');
  },

  async parallel() {
    const times = {};
    for (const engine of [ours, docker]) {
      let ids;
      times[engine.name] = await milliseconds(async () => { ids = await Promise.all(Array.from({ length: 50 }, () => engine.run(long))); });
      await engine.remove(ids);
    }
    report('50 containers created and started at once', '-', times.tabique, times.docker, 'ms');
  },

  async memory() {
    await sleep(1000);
    const daemons = { tabique: ['tabique'], docker: ['dockerd', 'containerd'] };
    const shims = { tabique: ['tabique-shim'], docker: ['containerd-shim-runc-v2'] };
    const use = {};
    for (const engine of [ours, docker]) {
      const ids = [];
      for (let i = 0; i < 10; i++) ids.push(await engine.run(long));
      await sleep(20000); // idle: both give back what they do not need some time after
      use[engine.name] = { server: pss(engine.pids(daemons[engine.name])), shim: pss(allNamed(shims[engine.name], engine)) / 10 };
      await engine.remove(ids);
    }
    report('memory of the idle engine (PSS)', '1/10', use.tabique.server, use.docker.server, 'MiB');
    report('memory per container: its shim (PSS)', '1/12', use.tabique.shim, use.docker.shim, 'MiB');
  },

  async 'idle-cpu'() {
    const ids = [];
    for (let i = 0; i < 100; i++) ids.push(await ours.run(long));
    const pids = ours.pids(['tabique']);
    const quiet = await share(pids, 15);
    // One open Compare page: a live subscription, as the console makes it.
    const { stop } = await subscribe(ids[0].slice(0, 12));
    const watched = await share(pids, 15);
    await stop();
    await ours.remove(ids);
    console.log(`${'CPU of the server, 100 containers, nobody looking'.padEnd(48)} ${(quiet * 100).toFixed(2).padStart(9)} % of a core`);
    console.log(`${'  with one open Compare page'.padEnd(48)} ${(watched * 100).toFixed(2).padStart(9)} % of a core`);
    results.push({ name: 'idle cpu', quiet, watched });
  },

  // One registry before each engine, in its network namespace, over the same storage: the
  // 200 MB image is pushed once, by ours.
  async registry() {
    const archive = bigImage();
    const name = 'localhost:5000/bench-big:1';
    const config = path.join(root, 'registry.yml');
    fs.writeFileSync(config, `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${root}/registry}}\nhttp: {addr: 127.0.0.1:5000}\n`);
    const registries = [ours, docker].map((engine) => spawn('nsenter', [`--net=/proc/${engine.child.pid}/ns/net`, 'docker-registry', 'serve', config], { stdio: 'ignore' }));
    try {
      await sleep(2000);
      const forget = (engine) => engine.docker('rmi', '-f', name);
      const load = (engine) => engine.docker('load', '-q', '-i', archive);
      const times = { load: {}, save: {}, pull: {} };
      const timed = async (what, engine, work) => (times[what][engine.name] ??= []).push(await milliseconds(work));
      load(ours);
      ours.docker('push', '-q', name);
      for (let i = 0; i < 5; i++) {
        for (const engine of [ours, docker]) {
          if (i > 0 || engine === ours) forget(engine);
          await timed('load', engine, () => load(engine));
          await timed('save', engine, () => execFileSync('sh', ['-c', `docker -H unix://${engine.socket} save ${name} >/dev/null`]));
          forget(engine);
          await timed('pull', engine, () => engine.docker('pull', '-q', name));
        }
      }
      for (const what of ['pull', 'load', 'save']) report(`${what} of a 200 MB image of 4 layers`, '-', median(times[what].tabique), median(times[what].docker), 'ms');
      for (const engine of [ours, docker]) forget(engine);
    } finally {
      for (const registry of registries) registry.kill('SIGTERM');
    }
  },

  // 500 containers that were created and never started.
  async list() {
    const sockets = [ours, docker];
    for (const engine of sockets)
      for (let i = 0; i < 50; i++) await Promise.all(Array.from({ length: 10 }, () => engine.call('POST', '/containers/create', { Image: image, Cmd: ['true'] })));
    const [rest, peerRest] = await alternate(15, (engine) => engine.call('GET', '/containers/json?all=1'));
    report('/containers/json of 500 containers', '-', rest, peerRest, 'ms');
    const [ps, peerPs] = await alternate(7, (engine) => engine.docker('ps', '-aq'));
    report('  docker ps -aq of them', '-', ps, peerPs, 'ms');
    for (const engine of sockets) await engine.call('POST', '/containers/prune');
  },

  // From a request that causes an event until its line has arrived.
  async events() {
    const streams = new Map();
    for (const engine of [ours, docker]) streams.set(engine, await follow(engine, '/events'));
    const [a, b] = await alternate(30, async (engine) => {
      const seen = streams.get(engine).next();
      engine.call('POST', '/volumes/create', { Name: `v${Math.random()}` });
      await seen;
    });
    report('/events: request to line', '-', a, b, 'ms');
    for (const stream of streams.values()) stream.stop();
    await ours.call('POST', `/volumes/prune?filters=${encodeURIComponent('{"all":["true"]}')}`);
    await docker.call('POST', '/volumes/prune');
  },

  async logs() {
    const ids = new Map();
    for (const engine of [ours, docker]) {
      const id = await engine.run({ Image: image, Cmd: ['sh', '-c', `yes ${'x'.repeat(99)} | head -n 1000000`] });
      await engine.call('POST', `/containers/${id}/wait`);
      ids.set(engine, id);
    }
    const [a, b] = await alternate(3, (engine) => execFileSync('sh', ['-c', `docker -H unix://${engine.socket} logs ${ids.get(engine)} >/dev/null`]));
    report('docker logs of 100 MB (a million lines)', '-', a, b, 'ms');
    const [tail, peerTail] = await alternate(7, (engine) => engine.call('GET', `/containers/${ids.get(engine)}/logs?stdout=1&tail=100`));
    report('  its last 100 lines (REST)', '-', tail, peerTail, 'ms');
    for (const engine of [ours, docker]) await engine.remove([ids.get(engine)]);
  },

  async cp() {
    const dir = fs.mkdtempSync(path.join(root, 'cp-'));
    const file = path.join(dir, 'file');
    execFileSync('dd', ['if=/dev/urandom', `of=${file}`, 'bs=1M', 'count=1024'], { stdio: 'ignore' });
    const ids = new Map();
    for (const engine of [ours, docker]) ids.set(engine, await engine.run(long));
    const [into, peerInto] = await alternate(3, (engine) => engine.docker('cp', '-q', file, `${ids.get(engine)}:/file`));
    report('docker cp of 1 GiB into a container', '-', into, peerInto, 'ms');
    const [out, peerOut] = await alternate(3, (engine) => execFileSync('sh', ['-c', `docker -H unix://${engine.socket} cp ${ids.get(engine)}:/file - >/dev/null`]));
    report('  and out of it', '-', out, peerOut, 'ms');
    for (const engine of [ours, docker]) await engine.remove([ids.get(engine)]);
    fs.rmSync(dir, { recursive: true });
  },

  async sample() {
    for (const count of [1000, 5000]) {
      const [mine, ps] = execFileSync(path.join(programs, 'host_sample'), [String(count)], { encoding: 'utf8' }).trim().split(/\s+/).map(Number);
      report(`one host sample at ${count} more processes`, '-', mine, ps, 'ms', 'ps -e ');
    }
  },
};

// A docker-archive of four layers of 50 MB each, of this machine's own files.
function bigImage() {
  const files = execFileSync('find', ['/usr/bin', '/usr/lib', '/usr/share', '-xdev', '-type', 'f', '-size', '-4M'], { encoding: 'utf8', maxBuffer: 1 << 28 }).trim().split('\n').sort();
  const dir = fs.mkdtempSync(path.join(root, 'big-'));
  const sha256 = (file) => execFileSync('sha256sum', [file], { encoding: 'utf8' }).slice(0, 64);
  const diffs = [];
  for (let layer = 0, at = 0; layer < 4; layer++) {
    const names = [];
    for (let size = 0; size < 50e6 && at < files.length; at++) {
      names.push(files[at]);
      size += fs.statSync(files[at]).size;
    }
    execFileSync('tar', ['-cf', path.join(dir, `${layer}.tar`), '-P', '--transform', 's,^/,,', '--no-recursion', '-T', '-'], { input: names.join('\n') });
    diffs.push(`sha256:${sha256(path.join(dir, `${layer}.tar`))}`);
  }
  fs.writeFileSync(path.join(dir, 'config.json'), JSON.stringify({ architecture: 'amd64', os: 'linux', created: '2024-01-01T00:00:00Z', config: {}, rootfs: { type: 'layers', diff_ids: diffs } }));
  fs.writeFileSync(path.join(dir, 'manifest.json'), JSON.stringify([{ Config: 'config.json', RepoTags: ['localhost:5000/bench-big:1'], Layers: diffs.map((_, i) => `${i}.tar`) }]));
  const archive = path.join(root, 'big.tar');
  execFileSync('tar', ['-cf', archive, '-C', dir, '.']);
  fs.rmSync(dir, { recursive: true });
  return archive;
}

const share = async (pids, seconds) => {
  const before = cpuSeconds(pids);
  await sleep(seconds * 1000);
  return (cpuSeconds(pids) - before) / seconds;
};

// A stream whose next() waits for its next line.
async function follow(engine, url) {
  const http = await import('node:http');
  let wake = () => {};
  const request = http.request({ socketPath: engine.socket, path: url, agent: false }, (response) => response.on('data', () => wake()));
  request.on('error', () => {});
  request.end();
  await sleep(500);
  return { next: () => new Promise((resolve) => { wake = resolve; }), stop: () => request.destroy() };
}

function allNamed(names, engine) {
  return engine.pids(names);
}

async function subscribe(container) {
  // WebSocket over the unix socket, by hand: a browser's handshake and one masked frame.
  const net = await import('node:net');
  const socket = net.connect(ours.socket);
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.write('GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  const text = Buffer.from(JSON.stringify({ op: 'subscribe', id: 1, topic: 'comparison', container, scope: 'host' }));
  socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), text]));
  socket.on('data', () => {});
  return { stop: async () => socket.destroy() };
}

// A name, or a group of names: "hyperv" is all of "hyperv-...".
const chosen = process.argv.slice(2);
const wanted = (name) => chosen.length === 0 || chosen.some((one) => name === one || name.startsWith(`${one}-`));
report.results = results;
Object.assign(benches, hypervBenches({ ours, ourEngine, docker, dataDir: path.join(root, 't/data'), programs, report, alternate, milliseconds }));
try {
  await Promise.all([ours.ready(), docker.ready()]);
  const save = await fs.promises.readFile(path.join(top, 'build/base-image.tar'));
  await docker.call('POST', '/images/load?quiet=1', save);
  for (const [name, bench] of Object.entries(benches)) {
    if (!wanted(name)) continue;
    try {
      await bench();
    } catch (error) {
      console.log(`${name}: failed: ${error.message}`);
      process.exitCode = 1;
    }
  }
  fs.writeFileSync(path.join(top, 'build/bench/result.json'), JSON.stringify(results, null, 2));
} finally {
  await ours.stop().catch(() => ours.child.kill('SIGKILL'));
  await docker.stop().catch(() => docker.child.kill('SIGKILL'));
  fs.rmSync(root, { recursive: true, force: true });
}
