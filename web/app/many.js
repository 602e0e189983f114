/* many.js - something done to rows of a list, be it one or hundreds: the question that fits
 * the harm, a few at a time, how far it is, what could not be done and why, and the way back. */
import { t } from './i18n.js';
import { refreshAll } from './live.js';
import { shortId, visible } from './text.js';
import { confirm, progress, tell, toast } from '../components/overlay.js';

/** question: what is asked before (its title is 'confirm.' and the action's name), if anything; its answer is given to run.
 * @typedef {{icon: string, when?: (item: any) => boolean, danger?: boolean, undo?: string, question?: (list: any[]) => any, run: (item: any, answer: any) => Promise<any>}} Action
 * @typedef {{name: (item: any, answer?: any) => string, count: (n: number) => string, topic: string, actions: Record<string, Action>}} Kind topic: what is asked for anew afterwards */

/* More at once would only queue in the server; fewer are done before one has read how far it is. */
const AT_ONCE = 6, SHOWN_FROM = 4, WRITTEN_FROM = 6;

/** For a question: whoever loses many things writes how many. @param {any[]} list */
export const written = (list) => (list.length >= WRITTEN_FROM ? String(list.length) : undefined);

const called = (kind, list, answer) => (list.length === 1 ? visible(kind.name(list[0], answer)) : kind.count(list.length));

/** @param {Kind} kind @param {string} name @param {any[]} items @returns {Promise<any[]|null>} those with which it failed; null: not done */
export async function carryOut(kind, name, items) {
  const action = kind.actions[name];
  const list = items.filter((item) => !action.when || action.when(item));
  if (!list.length) return null;
  const question = action.question?.(list);
  const answer = question ? await confirm({ title: t('confirm.' + name, { name: called(kind, list) }), action: t('action.' + name), danger: action.danger, ...question }) : {};
  return answer ? perform(kind, name, list, answer) : null;
}

async function perform(kind, name, list, answer) {
  const action = kind.actions[name], label = t('action.' + name);
  const done = /** @type {any[]} */ ([]), failed = /** @type {{item: any, why: string}[]} */ ([]);
  const far = () => t('bulk.progress', { action: label, done: done.length + failed.length, n: list.length });
  const shown = list.length >= SHOWN_FROM ? progress(far()) : null;
  const queue = [...list];
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, queue.length) }, async () => {
    for (let item = queue.shift(); item; item = queue.shift()) {
      try { await action.run(item, answer); done.push(item); } catch (error) { failed.push({ item, why: visible(error.message).replace(/\b[0-9a-f]{64}\b/g, shortId) }); }
      shown?.say(far());
    }
  }));
  shown?.end();
  refreshAll(kind.topic);
  if (done.length) toast(t('done.' + name, { name: called(kind, done, answer) }), action.undo ? { action: { label: t('undo'), run: () => { perform(kind, /** @type {string} */ (action.undo), done, {}); } } } : {});
  if (failed.length && list.length === 1) toast(failed[0].why, { kind: 'error' });
  else if (failed.length) tell({ title: t('bulk.failed', { action: label, n: failed.length, all: list.length }), rows: failed.map(({ item, why }) => [visible(kind.name(item)), why]) });
  return failed.map(({ item }) => item);
}
