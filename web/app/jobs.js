/* jobs.js - pulls, pushes, builds and loads: they go on while one looks elsewhere,
 * and tell how it went. What the server says of them is Docker's stream of JSON lines. */
import { createStore } from './store.js';
import { t } from './i18n.js';
import { refreshAll } from './live.js';
import { visible } from './text.js';
import { readLines } from './progress.js';
import { toast } from '../components/overlay.js';

/** @typedef {{status: string, current: number, total: number}} Layer */
/** @typedef {{id: number, title: string, layers: Map<string, Layer>, output: string, line: string, result: string, done: boolean, error: string, abort: AbortController}} Job */
export const jobs = createStore(/** @type {Job[]} */ ([]));
/** The one that is looked at. */
export const watched = createStore(/** @type {number|null} */ (null));

const OUTPUT_MAX = 200000;
let serial = 0;

/** What one more message makes of a job. @param {Job} job @param {any} m */
export function note(job, m) {
  if (m.stream) job.output = (job.output + m.stream).slice(-OUTPUT_MAX);
  else if (m.id && m.status) {
    const old = job.layers.get(m.id), part = m.progressDetail ?? {};
    const total = part.total > 0 ? part.total : old?.total ?? 0;
    const ended = /complete|exists|pushed|mounted/i.test(m.status) && !/verifying/i.test(m.status);
    job.layers.set(m.id, { status: m.status, total, current: part.current ?? (ended ? total : old?.status === m.status ? old?.current ?? 0 : 0) });
  } else if (m.status) job.line = m.status;
  if (m.aux?.ID || m.aux?.Digest) job.result = m.aux.ID ?? m.aux.Digest;
}

/** @param {string} title @param {(signal: AbortSignal) => Promise<Response>} request @param {{then?: (job: Job) => void}} [options] */
export async function startJob(title, request, options = {}) {
  const job = /** @type {Job} */ ({ id: ++serial, title, layers: new Map(), output: '', line: '', result: '', done: false, error: '', abort: new AbortController() });
  let drawing = 0;
  const draw = () => { drawing ||= requestAnimationFrame(() => { drawing = 0; jobs.set((list) => [...list]); }); };
  jobs.set((list) => [...list, job]);
  watched.set(job.id);
  try {
    await readLines(await request(job.abort.signal), (m) => { note(job, m); draw(); });
    options.then?.(job);
  } catch (error) {
    job.error = error.name === 'AbortError' ? t('cancelled') : visible(error.message);
  }
  job.done = true;
  draw();
  if (watched.get() !== job.id) {
    toast(job.title + ': ' + (job.error || t('jobs.done')), { kind: job.error ? 'error' : 'info', action: { label: t('jobs.look'), run: () => watched.set(job.id) } });
    /* Nobody looked: it stays in the list until somebody does. */
  }
  refreshAll('images');
}

/** No longer looked at; one that has ended is forgotten. */
export function leave(id) {
  watched.set(null);
  jobs.set((list) => list.filter((job) => job.id !== id || !job.done));
}
