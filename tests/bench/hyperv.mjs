// hyperv.mjs - the thick wall beside the peer's ordinary container, in the same run; where
// the peer has nothing to show, beside our own thin wall. Called by bench.mjs.

import fs from 'node:fs';
import path from 'node:path';
import http from 'node:http';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { cpuSeconds, median, sleep } from './engines.mjs';

const MiB = 1 << 20;
const image = 'tabique/base';

export function hypervBenches({ ours, ourEngine, docker, dataDir, programs, report, alternate, milliseconds }) {
  const thick = (config = {}) => ({ Image: image, Cmd: ['sleep', '1000000'], ...config, HostConfig: { Isolation: 'hyperv', ...config.HostConfig } });
  const thin = (config = {}) => ({ Image: image, Cmd: ['sleep', '1000000'], ...config });
  const configOf = (engine, config) => (engine === ours ? thick(config) : thin(config));
  const say = (name, value, unit, aim) => {
    report.results.push({ name, aim, tabique: value, unit });
    console.log(`${name.padEnd(48)} ${value.toFixed(value >= 100 ? 0 : 2).padStart(9)} ${unit}  (aim ${aim ?? '-'})`);
  };
  const worker = async (id) => (await ours.call('GET', `/containers/${id}/json`)).State.Pid;
  const privateMiB = (pid) => [...fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8').matchAll(/^Private_(?:Clean|Dirty):\s+(\d+)/gm)]
    .reduce((sum, [, kib]) => sum + Number(kib), 0) / 1024;

  async function ready(engine = ours) {
    for (let i = 0; i < 1200; i++) {
      const info = await engine.call('GET', '/api/v1/info');
      const wall = info.walls.find((one) => one.name === 'hyperv');
      if (!wall.available) throw new Error(`no thick wall here: ${wall.reason}`);
      if (wall.accelerator) return wall.accelerator;
      await sleep(100);
    }
    throw new Error('the machines are not ready after two minutes');
  }

  // Until the pool is as full as it is to be: what one start costs, not what many in a row do.
  async function pooled(engine) {
    for (let i = 0; engine === ours && i < 600; i++) {
      const [, text = ''] = (await ours.call('GET', '/info')).DriverStatus.find(([name]) => name === 'Virtual Machines Kept Warm') ?? [];
      const [, there, wanted] = /^(\d+) of (\d+) ready/.exec(text) ?? [];
      if (there && there === wanted) return;
      await sleep(100);
    }
  }

  // A clone for each, by a server that keeps no machine ahead: of the plain template the first
  // time, then of the one that is staged for the image.
  async function withoutPool() {
    const times = { tabique: [], docker: [] };
    const bare = ourEngine('t0', '--vm-pool', '0');
    const start = async (engine) => {
      let id;
      const took = await milliseconds(async () => { id = await engine.run(engine === bare ? thick() : thin()); });
      return [took, id];
    };
    try {
      await bare.ready();
      await ready(bare);
      const [first, id] = await start(bare);
      await bare.remove([id]);
      for (let i = 0; i < 600 && !(await bare.call('GET', '/api/v1/info')).pool.stagedBytes; i++) await sleep(100);
      for (let i = 0; i < 7; i++)
        for (const engine of [bare, docker]) {
          const [took, id] = await start(engine);
          times[engine.name].push(took);
          await engine.remove([id]);
        }
      say('create+start, pool=0, first of its image', first, 'ms');
      const ids = [];
      for (let i = 0; i < 5; i++) ids.push(await bare.run(thick()));
      const pids = await Promise.all(ids.map(async (id) => (await bare.call('GET', `/containers/${id}/json`)).State.Pid));
      say('private memory of a machine, pool=0', pids.reduce((sum, pid) => sum + privateMiB(pid), 0) / pids.length, 'MiB', '40');
      await bare.remove(ids);
    } finally {
      await bare.stop();
    }
    report('create+start (REST), pool=0', '300 ms', median(times.tabique), median(times.docker), 'ms');
  }

  // A process's output as bytes, by its end; the raw stream of an attached container.
  async function outputOf(config) {
    const { Id } = await ours.call('POST', '/containers/create', { ...config, AttachStdout: true, Tty: false });
    const took = milliseconds(() => new Promise((resolve, reject) => {
      const request = http.request({ socketPath: ours.socket, method: 'POST', path: `/containers/${Id}/attach?stream=1&stdout=1` });
      request.on('error', reject);
      const count = (stream) => {
        let bytes = 0;
        stream.on('data', (chunk) => { bytes += chunk.length; });
        stream.on('end', () => resolve(bytes));
        stream.on('close', () => resolve(bytes));
      };
      request.on('response', count);
      request.on('upgrade', (response, socket) => count(socket));
      request.end();
      ours.call('POST', `/containers/${Id}/start`).catch(reject);
    }));
    const time = await took;
    await ours.remove([Id]);
    return time;
  }

  // What the container itself measured: it prints milliseconds between two readings of
  // /proc/uptime (a hundredth of a second is its grain).
  const clocked = (work) => `a=$(cut -d' ' -f1 /proc/uptime); ${work}; b=$(cut -d' ' -f1 /proc/uptime); echo "$a $b"`;
  async function inside(config, script) {
    const { Id } = await ours.call('POST', '/containers/create', { ...config, Cmd: ['sh', '-c', clocked(script)] });
    await ours.call('POST', `/containers/${Id}/start`);
    await ours.call('POST', `/containers/${Id}/wait`);
    const text = ours.docker('logs', Id);
    await ours.remove([Id]);
    const [a, b] = text.trim().split('\n').at(-1).split(' ').map(Number);
    return (b - a) * 1000;
  }

  const benches = {
    async run() {
      const times = { tabique: [], docker: [] };
      for (let i = 0; i < 9; i++)
        for (const engine of [ours, docker]) {
          await pooled(engine);
          times[engine.name].push(milliseconds(() => engine.docker('run', '--rm', ...(engine === ours ? ['--isolation', 'hyperv'] : []), image, 'true')));
        }
      report('docker run --rm true', '1/2', median(times.tabique), median(times.docker), 'ms');
    },

    async start() {
      let total;
      for (const [what, before] of [['', pooled], [', one behind the other', async () => {}]]) {
        const times = { tabique: [], docker: [] };
        for (let i = 0; i < 9; i++)
          for (const engine of [ours, docker]) {
            let id;
            await before(engine);
            times[engine.name].push(await milliseconds(async () => { id = await engine.run(configOf(engine)); }));
            await engine.remove([id]);
          }
        total = median(times.tabique);
        report(`create+start (REST)${what}`, '1/2', total, median(times.docker), 'ms');
      }
      await withoutPool();
      const { stdout } = await promisify(execFile)(path.join(programs, 'machine_parts'), [path.join(dataDir, 'machines'), '9']);
      const parts = Object.fromEntries(stdout.trim().split('\n').map((line) => line.split(' ')).map(([key, value]) => [key, Number(value)]));
      console.log('  without the pool:');
      say('  a clone: worker up to its monitor', parts.worker, 'ms');
      say('  a clone: template restored', parts.restore, 'ms');
      say('  a clone: agent answers, seeded and named', parts.agent, 'ms');
      say('  network: eth0 handed to a tap', parts.network, 'ms');
      say('cold boot instead of worker, restore, agent', parts.cold, 'ms');
    },

    async ten() {
      const times = {};
      for (const engine of [ours, docker]) {
        let ids;
        times[engine.name] = await milliseconds(async () => { ids = await Promise.all(Array.from({ length: 10 }, () => engine.run(configOf(engine)))); });
        await engine.remove(ids);
      }
      report('ten created and started at once', '-', times.tabique, times.docker, 'ms');
    },

    async top() {
      const ids = new Map([[ours, await ours.run(thick())], [docker, await docker.run(thin())]]);
      const [a, b] = await alternate(30, (engine) => engine.call('GET', `/containers/${ids.get(engine)}/top`));
      report('top into it over REST', '1/1', a, b, 'ms');
      const [c, d] = await alternate(9, (engine) => engine.docker('exec', ids.get(engine), 'true'));
      report('docker exec true', '-', c, d, 'ms');
      for (const [engine, id] of ids) await engine.remove([id]);
    },

    async throughput() {
      const speed = (bytes, ms) => bytes / MiB / (ms / 1000);
      const both = async (work) => [await work(thick()), await work(thin())];
      const table = (name, bytes, [a, b]) => report(name, '-', 1 / speed(bytes, a), 1 / speed(bytes, b), 's/MiB', 'thin  ');
      const stdio = 64;
      // The start itself is taken off: an empty output's time.
      const net = await both(async (config) => {
        const empty = await outputOf({ ...config, Cmd: ['true'] });
        return Math.max(1, await outputOf({ ...config, Cmd: ['dd', 'if=/dev/zero', 'bs=64k', `count=${stdio * 16}`] }) - empty);
      });
      table('stdio, attached', stdio * MiB, net);
      table('disk, 128 MiB written and synced', 128 * MiB, await both((config) => inside(config, 'dd if=/dev/zero of=/f bs=1M count=128 conv=fsync 2>/dev/null')));
      table('disk, 128 MiB read again', 128 * MiB, await both((config) => inside(config, 'cat /f >/dev/null 2>&1 || { dd if=/dev/zero of=/f bs=1M count=128 conv=fsync 2>/dev/null; }; cat /f >/dev/null')));
      // From a thin server on the same bridge, which costs both alike.
      const { Id } = await ours.call('POST', '/containers/create', thin({ Cmd: ['sh', '-c', 'mkdir /w; dd if=/dev/zero of=/w/f bs=1M count=64 2>/dev/null; exec httpd -f -p 80 -h /w'] }));
      await ours.call('POST', `/containers/${Id}/start`);
      const address = (await ours.call('GET', `/containers/${Id}/json`)).NetworkSettings.Networks.bridge.IPAddress;
      await sleep(1000);
      table('network, 64 MiB from a thin container', 64 * MiB, await both((config) => inside(config, `wget -q -O /dev/null http://${address}/f`)));
      await ours.remove([Id]);
    },

    async memory() {
      const count = 10;
      const ids = [];
      for (let i = 0; i < count; i++) ids.push(await ours.run(thick()));
      const pids = await Promise.all(ids.map(worker));
      const each = () => pids.reduce((sum, pid) => sum + privateMiB(pid), 0) / count;
      say('private memory of a machine after its start', each(), 'MiB', '40');
      await sleep(5000);
      const before = cpuSeconds(pids);
      await sleep(55_000);
      say('CPU of an idle machine', (cpuSeconds(pids) - before) / 55 / count * 100, '% of a core', '1');
      say('private memory after a minute idle', each(), 'MiB', '40');
      await ours.remove(ids);
    },

    async fifty() {
      let ids;
      const time = await milliseconds(async () => { ids = await Promise.all(Array.from({ length: 50 }, () => ours.run(thick()))); });
      const alive = (await Promise.all(ids.map((id) => ours.call('GET', `/containers/${id}/top`)))).filter((top) => top.Processes.length === 1).length;
      say(`50 machines at once, ${alive} answer top`, time, 'ms');
      await ours.remove(ids);
    },
  };

  return Object.fromEntries(Object.entries(benches).map(([name, bench]) => [`hyperv-${name}`, async () => {
    const accelerator = await ready();
    console.log(`-- thick wall (${accelerator}): ${name}`);
    await bench();
  }]));
}
