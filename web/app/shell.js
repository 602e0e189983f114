/* shell.js - the line to a shell inside. The shell outlives its connection: after a cut, a
 * restart of the server or another page it is joined again, and says what was missed.
 * Protocol: docs/API-stream.md. */
import { DOCKER, get, post } from './api.js';
import { connection } from './live.js';
import { session } from './session.js';

const KEY = 'tabique.shells';
const TAKEN = 4009;

/** @typedef {{id: number, shell: string, exec: string}} Shell exec: '' until it is made */
/** @typedef {{key: 'opening'|'lost'|'ended'|'gone'|'taken'|'error', code?: number, message?: string}|null} LineState null: all is well */

function read() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? 'null');
    return kept?.user === session.get().user ? kept.of : {};
  } catch { return {}; }
}
/** Shells that this tab of the browser has open in a container. @param {string} container @returns {Shell[]} */
export const keptShells = (container) => read()[container] ?? [];
/** @param {string} container @param {Shell[]} shells */
export function keepShells(container, shells) {
  const of = { ...read(), [container]: shells.filter(({ exec }) => exec) };
  if (!of[container].length) delete of[container];
  try { sessionStorage.setItem(KEY, JSON.stringify({ user: session.get().user, of })); } catch { /* for this page only, then */ }
}

/**
 * @param {Shell} shell
 * @param {string} container
 * @param {{size: () => {rows: number, cols: number}, write: (data: Uint8Array, done?: () => void) => void, missed: (bytes: number) => void, say: (state: LineState) => void, made: () => void}} on
 */
export function openLine(shell, container, on) {
  const encoder = new TextEncoder();
  let socket = /** @type {WebSocket|null} */ (null);
  let left = false, over = false, waits = false, suspect = false;
  let attempts = 0, retry = 0;
  let seen = 0;
  /* What is repeated to a new screen was answered when it was said: until then nothing is. */
  let quiet = false, quietTo = 0;

  const end = (state) => { over = true; on.say(state); };
  const later = () => {
    on.say({ key: 'lost' });
    clearTimeout(retry);
    retry = setTimeout(join, Math.min(5000, 250 * 2 ** attempts++) * (0.75 + Math.random() / 2));
  };
  const drop = () => { const old = socket; socket = null; old?.close(); };

  async function join() {
    clearTimeout(retry);
    drop();
    over = waits = suspect = false;
    let back = !!shell.exec;
    try {
      if (back) {
        const { Running, ExitCode } = await get(`${DOCKER}/exec/${shell.exec}/json`);
        if (left) return;
        if (!Running && ExitCode !== null) return end({ key: 'ended', code: ExitCode });
        back = Running;
      } else on.say({ key: 'opening' });
      if (!back) {
        shell.exec = (await post(`${DOCKER}/containers/${container}/exec`, { AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: true, Cmd: [shell.shell], Env: ['TERM=xterm-256color'] })).Id;
        on.made();
        seen = 0;
      }
    } catch (error) {
      if (left) return;
      if (error.status === 401) { waits = true; return on.say({ key: 'lost' }); }
      if (error.status === 404 && back) return end({ key: 'gone' });
      if (error.status === 0 || error.status >= 502) return later();
      return end({ key: 'error', message: error.message });
    }
    if (left) return;
    const { rows, cols } = on.size();
    const made = socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/exec/${shell.exec}/ws?rows=${rows}&cols=${cols}${back ? '&seen=' + seen : ''}`);
    made.binaryType = 'arraybuffer';
    made.onopen = () => { attempts = 0; suspect = false; on.say(null); };
    made.onmessage = ({ data }) => {
      if (made !== socket) return;
      if (typeof data === 'string') return told(JSON.parse(data));
      const bytes = new Uint8Array(data);
      seen += bytes.length;
      on.write(bytes, quiet && seen >= quietTo ? () => { quiet = false; } : undefined);
    };
    made.onclose = ({ code }) => {
      if (left || made !== socket || over) return;
      socket = null;
      if (code === TAKEN) end({ key: 'taken' });
      else later();
    };
  }
  function told({ exit, from, to }) {
    if (exit !== undefined) return end({ key: 'ended', code: exit });
    if (from === undefined) return;
    if (from > seen && seen > 0) on.missed(from - seen);
    quiet = seen === 0 && to > from;
    quietTo = to;
    seen = from;
  }
  const put = (data) => { if (socket?.readyState === 1 && !quiet && !over) socket.send(data); };

  /* A cut that the browser does not see: the stream beside it, which is listened to, does. */
  const unwatch = [
    connection.watch(({ live }) => { if (!live) suspect = true; else if (suspect && !over && !left) join(); }),
    session.watch(({ state }) => { if (state === 'in' && waits) join(); }),
  ];
  join();
  return {
    send: (text) => put(encoder.encode(text)),
    sendBinary: (text) => put(Uint8Array.from(text, (c) => c.charCodeAt(0))),
    resize: (cols, rows) => { if (socket?.readyState === 1) socket.send(JSON.stringify({ resize: [cols, rows] })); },
    over: () => over,
    /** The same shell again if it runs, else a new one. @param {boolean} fresh */
    again(fresh) { if (fresh) { shell.exec = ''; on.made(); } attempts = 0; join(); },
    hangup() { if (socket?.readyState === 1) socket.send('{"hangup":true}'); },
    leave() { left = true; clearTimeout(retry); for (const stop of unwatch) stop(); drop(); },
  };
}
