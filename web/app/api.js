/* api.js - requests. Every error that leaves here is an ApiError with words that
 * can be shown as they are. */
import { t } from './i18n.js';
import { createStore } from './store.js';

export const DOCKER = '/v1.51';

export class ApiError extends Error {
  /** @param {number} status 0: the server was not reached */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** How far this browser's clock is before the server's, in ms; by whole seconds, as the Date header has them. */
export const skew = createStore(0);
const SKEW_NOTICED = 5000;
function told(date) {
  const time = Date.parse(date ?? '');
  if (Number.isNaN(time)) return;
  const off = Date.now() - time;
  skew.set(Math.abs(off) > SKEW_NOTICED ? Math.round(off / 1000) * 1000 : 0);
}
/** The time as the server has it, which wrote all the times that are shown. */
export const serverNow = () => Date.now() - skew.get();

let csrf = '';
let onSignedOut = () => {};
export const setCsrf = (value) => { csrf = value || ''; };
export const whenSignedOut = (callback) => { onSignedOut = callback; };

/** @param {Record<string, any>} [query] */
export function url(path, query) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {}))
    if (value !== undefined && value !== null && value !== '')
      search.set(key, typeof value === 'object' ? JSON.stringify(value) : value === true ? '1' : value === false ? '0' : String(value));
  const text = search.toString();
  return text ? path + '?' + text : path;
}

/* What boot.js asked before this was here: good once, and not for long. */
const EARLY_MS = 15000;
const early = /** @type {any} */ (globalThis).tabiqueAsked ?? {};
async function asked(address, quiet401) {
  const answer = early[address];
  if (!answer) return null;
  delete early[address];
  const response = performance.now() < EARLY_MS && await answer;
  return response && (response.ok || (quiet401 && response.status === 401)) ? response : null;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{query?: Record<string, any>, body?: any, raw?: BodyInit, type?: string, signal?: AbortSignal,
 *          accept?: string, quiet401?: boolean, headers?: Record<string, string>}} [options]
 * @returns {Promise<Response>}
 */
export async function send(method, path, options = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: options.accept ?? 'application/json', ...options.headers };
  if (method !== 'GET' && method !== 'HEAD' && csrf) headers['X-Tabique-CSRF'] = csrf;
  let body = options.raw;
  if (options.body !== undefined) {
    headers['Content-Type'] = 'application/json';
    body = JSON.stringify(options.body);
  } else if (options.type) headers['Content-Type'] = options.type;

  let response;
  try {
    response = (method === 'GET' && await asked(url(path, options.query), options.quiet401)) || await fetch(url(path, options.query), { method, headers, body, signal: options.signal, credentials: 'same-origin', cache: 'no-store' });
  } catch (error) {
    if (/** @type {Error} */ (error).name === 'AbortError') throw error;
    throw new ApiError(0, t('error.unreachable'));
  }
  told(response.headers.get('date'));
  if (response.ok || response.status === 304) return response;
  let message = '';
  try { message = (await response.json()).message ?? ''; } catch { /* not JSON: the status must do */ }
  if (response.status === 401 && !options.quiet401) onSignedOut();
  throw new ApiError(response.status, message || t('error.status', { status: String(response.status) }));
}

async function json(method, path, options) {
  const response = await send(method, path, options);
  if (response.status === 204 || response.status === 304) return null;
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

export const get = (path, query, options) => json('GET', path, { query, ...options });
export const post = (path, body, options) => json('POST', path, { body, ...options });
export const put = (path, body, options) => json('PUT', path, { body, ...options });
export const del = (path, query, options) => json('DELETE', path, { query, ...options });

const id = encodeURIComponent;

/* Docker's own, by what people do with them. */
export const docker = {
  inspect: (name) => get(`${DOCKER}/containers/${id(name)}/json`),
  create: (name, body) => post(`${DOCKER}/containers/create`, body, { query: { name } }),
  start: (name) => post(`${DOCKER}/containers/${id(name)}/start`),
  stop: (name) => post(`${DOCKER}/containers/${id(name)}/stop`),
  kill: (name, signal) => post(`${DOCKER}/containers/${id(name)}/kill`, undefined, { query: { signal } }),
  restart: (name) => post(`${DOCKER}/containers/${id(name)}/restart`),
  pause: (name) => post(`${DOCKER}/containers/${id(name)}/pause`),
  unpause: (name) => post(`${DOCKER}/containers/${id(name)}/unpause`),
  rename: (name, to) => post(`${DOCKER}/containers/${id(name)}/rename`, undefined, { query: { name: to } }),
  remove: (name, { force = false, volumes = false } = {}) => del(`${DOCKER}/containers/${id(name)}`, { force, v: volumes }),
  update: (name, limits) => post(`${DOCKER}/containers/${id(name)}/update`, limits),
  commit: (name, repo, tag) => post(`${DOCKER}/commit`, {}, { query: { container: name, repo, tag } }),
  changes: (name) => get(`${DOCKER}/containers/${id(name)}/changes`),
  images: () => get(`${DOCKER}/images/json`, { 'shared-size': true }),
  image: (name) => get(`${DOCKER}/images/${id(name)}/json`),
  imageHistory: (name) => get(`${DOCKER}/images/${id(name)}/history`),
  imageTag: (name, repo, tag) => post(`${DOCKER}/images/${id(name)}/tag`, undefined, { query: { repo, tag } }),
  imageRemove: (name, force = false) => del(`${DOCKER}/images/${id(name)}`, { force }),
  imagesPrune: () => post(`${DOCKER}/images/prune`, undefined, { query: { filters: { dangling: ['true'] } } }),
  volumes: () => get(`${DOCKER}/volumes`),
  volume: (name) => get(`${DOCKER}/volumes/${id(name)}`),
  volumeCreate: (body) => post(`${DOCKER}/volumes/create`, body),
  volumeRemove: (name) => del(`${DOCKER}/volumes/${id(name)}`),
  volumesPrune: () => post(`${DOCKER}/volumes/prune`),
  networks: () => get(`${DOCKER}/networks`),
  network: (name) => get(`${DOCKER}/networks/${id(name)}`),
  networkCreate: (body) => post(`${DOCKER}/networks/create`, body),
  networkRemove: (name) => del(`${DOCKER}/networks/${id(name)}`),
  networksPrune: () => post(`${DOCKER}/networks/prune`),
  connect: (name, container) => post(`${DOCKER}/networks/${id(name)}/connect`, { Container: container }),
  disconnect: (name, container) => post(`${DOCKER}/networks/${id(name)}/disconnect`, { Container: container, Force: false }),
  version: () => get(`${DOCKER}/version`),
  info: () => get(`${DOCKER}/info`),
  df: () => get(`${DOCKER}/system/df`),
};

export const tabique = {
  info: () => get('/api/v1/info'),
  host: () => get('/api/v1/host'),
  containers: () => get('/api/v1/containers'),
  container: (name) => get(`/api/v1/containers/${id(name)}`),
  comparison: (name, query, options) => get(`/api/v1/containers/${id(name)}/comparison`, query, options),
  files: (name, path) => get(`/api/v1/containers/${id(name)}/files`, { path }),
  processes: (name, query) => get(`/api/v1/containers/${id(name)}/processes`, query),
  hostProcesses: (query) => get('/api/v1/host/processes', query),
  owner: (pid) => get('/api/v1/owner', { pid }),
  signal: (name, pid, startedAt, signal) => post(`/api/v1/containers/${id(name)}/processes/${pid}/signal`, { signal, startedAt }),
  isolation: (name, isolation, restart) => post(`/api/v1/containers/${id(name)}/isolation`, { isolation, restart }),
  events: (query, options) => get('/api/v1/events', query, options),
  samples: (query, options) => get('/api/v1/history/samples', query, options),
  lives: (query, options) => get('/api/v1/history/processes', query, options),
  marks: (query, options) => get('/api/v1/history/marks', query, options),
  audit: (query) => get('/api/v1/audit', query),
  notifications: (query) => get('/api/v1/notifications', query),
  rules: () => get('/api/v1/notification-rules'),
  channels: () => get('/api/v1/notification-channels'),
  deliveries: (query) => get('/api/v1/notification-deliveries', query),
  users: () => get('/api/v1/users'),
  tokens: () => get('/api/v1/tokens'),
  sessions: () => get('/api/v1/sessions'),
};
