// engines.mjs - starts the two engines alike and speaks to both alike.

import { spawn, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Engine {
  constructor(name, root, command, args, env = {}) {
    this.name = name;
    this.root = root;
    this.socket = path.join(root, 'engine.sock');
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 64, socketPath: this.socket });
    fs.mkdirSync(root, { recursive: true });
    const log = fs.openSync(path.join(root, 'log'), 'w');
    // A network namespace of its own: bridges, rules and ports cannot meet the
    // host's or the peer's, and go when the engine does.
    this.child = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; exec "$@"', 'sh', command, ...args],
      { env: { ...process.env, ...env }, stdio: ['ignore', log, log] });
  }

  async ready() {
    for (let i = 0; i < 200; i++) {
      try {
        await this.call('GET', '/_ping');
        return;
      } catch {
        if (this.child.exitCode !== null) break;
        await sleep(100);
      }
    }
    throw new Error(`${this.name} did not start: ${fs.readFileSync(path.join(this.root, 'log'), 'utf8').slice(-2000)}`);
  }

  call(method, url, body) {
    const data = body === undefined ? undefined : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    return new Promise((resolve, reject) => {
      const request = http.request({ agent: this.agent, socketPath: this.socket, method, path: url, headers: data && {
        'Content-Type': Buffer.isBuffer(body) ? 'application/x-tar' : 'application/json', 'Content-Length': data.length } },
      (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          if (response.statusCode >= 400) reject(new Error(`${this.name} ${method} ${url}: ${response.statusCode} ${text}`));
          else resolve(text.startsWith('{') || text.startsWith('[') ? safe(text) : text);
        });
        response.on('error', reject);
      });
      // A kept connection that was closed while this process waited for a child is not an answer.
      request.on('error', (error) => (request.reusedSocket && ['EPIPE', 'ECONNRESET'].includes(error.code)
        ? this.call(method, url, body).then(resolve, reject) : reject(error)));
      request.end(data);
    });
  }

  docker(...args) {
    return execFileSync('docker', ['-H', `unix://${this.socket}`, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  async run(config) {
    const { Id } = await this.call('POST', '/containers/create', config);
    await this.call('POST', `/containers/${Id}/start`);
    return Id;
  }

  async remove(ids) {
    for (const id of ids) await this.call('DELETE', `/containers/${id}?force=1`);
  }

  // Pids of the engine's own processes (not of containers'): by name below its pid.
  pids(names) {
    const found = [];
    for (const entry of fs.readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      try {
        const command = fs.readFileSync(`/proc/${entry}/cmdline`, 'utf8');
        const program = path.basename(command.split('\0')[0]);
        if (names.includes(program) && (command.includes(this.root) || entry === String(this.child.pid))) found.push(+entry);
      } catch { /* it ended meanwhile */ }
    }
    return found;
  }

  async stop() {
    for (const { Id } of await this.call('GET', '/containers/json?all=1')) {
      await this.call('DELETE', `/containers/${Id}?force=1`).catch(() => {});
    }
    this.agent.destroy();
    this.child.kill('SIGTERM');
    await new Promise((resolve) => (this.child.exitCode !== null ? resolve() : this.child.once('exit', resolve)));
  }
}

const safe = (text) => { try { return JSON.parse(text); } catch { return text; } };

export function pss(pids) {
  let total = 0;
  for (const pid of pids) {
    const match = /^Pss:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
    total += match ? +match[1] : 0;
  }
  return total / 1024;
}

export function cpuSeconds(pids) {
  let ticks = 0;
  for (const pid of pids) {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
    ticks += +fields[11] + +fields[12];
  }
  return ticks / 100;
}

export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
export { sleep };
