/* session.js - who is signed in, and what he may do. The server decides; this
 * only keeps the console from offering what would be refused. */
import { createStore } from './store.js';
import { get, post, send, setCsrf, whenSignedOut } from './api.js';

/** @typedef {{state: 'loading'|'out'|'in'|'expired'|'offline', user: string, role: string, mustChange: boolean, logs: boolean}} Session */
/** @type {Session} */
const nobody = { state: 'out', user: '', role: '', mustChange: false, logs: false };
export const session = createStore(/** @type {Session} */ ({ ...nobody, state: 'loading' }));

const ranks = { helpdesk: 1, operator: 2, admin: 3 };
const needs = { view: 1, operate: 2, exec: 2, admin: 3 };

/** @param {'view'|'operate'|'exec'|'admin'|'logs'} permission */
export function can(permission) {
  const { role, logs } = session.get();
  if (permission === 'logs') return logs || (ranks[role] ?? 0) >= 2;
  return (ranks[role] ?? 0) >= needs[permission];
}

function take(answer) {
  hint(true);
  setCsrf(answer.csrf);
  session.set({ state: 'in', user: answer.user, role: answer.role, mustChange: !!answer.mustChangePassword, logs: !!answer.mayReadLogs });
}

/* A hint for boot.js, no more: the server knows who is signed in. */
function hint(signedIn) {
  try { if (signedIn) localStorage.setItem('tabique.signed-in', '1'); else localStorage.removeItem('tabique.signed-in'); } catch { /* no storage, no hint */ }
}
export async function resumeSession() {
  try {
    take(await get('/api/v1/session', undefined, { quiet401: true }));
  } catch (error) {
    if (error.status === 401) hint(false);
    session.set({ ...nobody, state: error.status === 401 || error.status === 403 ? 'out' : 'offline' });
  }
}
export async function signIn(user, password) {
  take(await post('/api/v1/session', { user, password }, { quiet401: true }));
  broadcast('in');
}
export async function signOut() {
  try { await send('DELETE', '/api/v1/session', { quiet401: true }); } finally {
    setCsrf('');
    hint(false);
    session.set(nobody);
    broadcast('out');
  }
}
export async function changePassword(oldPassword, newPassword) {
  await send('PUT', '/api/v1/account/password', { body: { oldPassword, newPassword }, quiet401: true });
  await resumeSession();
}

/* A session that ended under one's hands keeps the view: sign-in opens above it. */
whenSignedOut(() => {
  if (session.get().state === 'in') session.set((old) => ({ ...old, state: 'expired' }));
});

/* What one tab does, the others learn. */
const channel = globalThis.BroadcastChannel && globalThis.document ? new BroadcastChannel('tabique.session') : null;
function broadcast(what) { channel?.postMessage(what); }
if (channel) channel.onmessage = (event) => {
  if (event.data === 'out' && session.get().state === 'in') session.set((old) => ({ ...old, state: 'expired' }));
  if (event.data === 'in' && session.get().state !== 'in') resumeSession();
};
