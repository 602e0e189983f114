/* stream.js - one WebSocket for all that is watched. First comes a full state,
 * then what changed, numbered; whoever misses a number asks for the state again.
 * While there is no connection, live.js asks over HTTP. Protocol: docs/API-stream.md. */
import { connection, heard, setStream } from './live.js';
import { session } from './session.js';

/**
 * What a subscription knows after one more message.
 * @param {{seq: number, rows: Map<string, any>|null, head: any}} known
 * @param {any} message
 * @returns {{known: any, changed: boolean, gap: boolean}}
 */
export function apply(known, message) {
  if (message.type === 'state') {
    const { id, seq, type, topic, rows, ...head } = message;
    return { known: { seq, rows: rows ? new Map(rows.map((row) => [row.key, row])) : null, head }, changed: true, gap: false };
  }
  if (message.type !== 'delta') return { known, changed: false, gap: false };
  if (!known || message.seq !== known.seq + 1) return { known, changed: false, gap: true };
  const { id, seq, type, topic, add = [], update = [], remove = [], ...head } = message;
  let rows = known.rows;
  if (rows && (add.length || update.length || remove.length)) {
    rows = new Map(rows);
    for (const row of add) rows.set(row.key, row);
    for (const row of update) rows.set(row.key, row);
    for (const key of remove) rows.delete(key);
  }
  return { known: { seq, rows, head: { ...known.head, ...head } }, changed: true, gap: false };
}

/* As the same would be answered over HTTP. */
const shapes = {
  comparison: (head, rows) => ({ ...head, rows }),
  containers: (head, rows) => ({ ...head, containers: rows }),
  processes: (head, rows) => ({ ...head, processes: rows, total: rows.length }),
  'host-processes': (head, rows) => ({ ...head, processes: rows, total: rows.length }),
  stats: (head) => head.host ?? head.sample,
  events: (head) => head,
};

const PING_MS = 20000;
const SILENCE_MS = 45000;
let socket = /** @type {WebSocket|null} */ (null);
let open = false;
let attempts = 0;
let serial = 0;
let heardAt = 0;
let retry = 0;
const subscriptions = new Map();

const say = (message) => { if (socket?.readyState === 1 && open) socket.send(JSON.stringify(message)); };

function subscribe(topic, deliver, lost) {
  const subscription = { id: ++serial, topic, deliver, lost, known: null };
  subscriptions.set(subscription.id, subscription);
  if (open) say({ op: 'subscribe', id: subscription.id, ...topic });
  else connect();
  return () => {
    if (subscriptions.delete(subscription.id)) say({ op: 'unsubscribe', id: subscription.id });
  };
}

function receive(event) {
  heardAt = Date.now();
  let message;
  try { message = JSON.parse(event.data); } catch { return; }
  const subscription = subscriptions.get(message.id);
  if (!subscription) return;
  if (message.type === 'error' || message.type === 'end') {
    /* HTTP says why. */
    subscriptions.delete(subscription.id);
    subscription.lost();
    return;
  }
  const { known, changed, gap } = apply(subscription.known, message);
  subscription.known = known;
  if (gap) say({ op: 'resync', id: subscription.id });
  else if (changed) subscription.deliver(shapes[subscription.topic.topic](known.head, known.rows ? [...known.rows.values()] : [], message));
}

function connect() {
  clearTimeout(retry);
  if (socket || session.get().state !== 'in' || session.get().mustChange) return;
  const made = new WebSocket((location.protocol === 'https:' ? 'wss://' : 'ws://') + location.host + '/api/v1/stream');
  socket = made;
  made.onopen = () => {
    open = true;
    attempts = 0;
    heardAt = Date.now();
    heard(true);
    connection.set((old) => ({ ...old, live: true }));
    for (const subscription of subscriptions.values()) {
      subscription.known = null;
      say({ op: 'subscribe', id: subscription.id, ...subscription.topic });
    }
  };
  made.onmessage = receive;
  made.onclose = () => {
    if (socket !== made) return;
    socket = null;
    const was = open;
    open = false;
    connection.set((old) => ({ ...old, live: false }));
    if (was) for (const subscription of [...subscriptions.values()]) subscription.lost();
    if (session.get().state !== 'in') return;
    /* Many browsers lose the same server at the same moment: not all at once again. */
    retry = setTimeout(connect, Math.min(15000, 500 * 2 ** attempts++) * (0.5 + Math.random()));
  };
}

export function startStream() {
  if (!globalThis.WebSocket) return;
  setStream(subscribe);
  session.watch(({ state }) => {
    if (state === 'in') connect();
    else if (state === 'out') socket?.close();
  });
  setInterval(() => {
    if (!open) return;
    if (Date.now() - heardAt > SILENCE_MS) socket?.close();
    else say({ op: 'ping', id: 0 });
  }, PING_MS);
  addEventListener('online', connect);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) connect(); });
  connect();
}
