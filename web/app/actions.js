/* actions.js - what can be done to a container, with the question that fits the
 * harm, and what is said afterwards. */
import { t } from './i18n.js';
import { docker } from './api.js';
import { can } from './session.js';
import { refreshAll } from './live.js';
import { visible } from './text.js';
import { attempt, confirm, progress, toast } from '../components/overlay.js';

const running = (c) => c.state === 'running';
const paused = (c) => c.state === 'paused';

/** @type {Record<string, {icon: string, when: (c: any) => boolean, danger?: boolean, undo?: string, run: (c: any) => Promise<any>}>} */
export const actions = {
  start: { icon: 'play', when: (c) => !running(c) && !paused(c), run: (c) => docker.start(c.id) },
  stop: { icon: 'stop', when: (c) => running(c) || paused(c), undo: 'start', run: (c) => docker.stop(c.id) },
  restart: { icon: 'restart', when: running, run: (c) => docker.restart(c.id) },
  pause: { icon: 'pause', when: running, undo: 'unpause', run: (c) => docker.pause(c.id) },
  unpause: { icon: 'play', when: paused, undo: 'pause', run: (c) => docker.unpause(c.id) },
  kill: { icon: 'signal', when: running, danger: true, run: (c) => docker.kill(c.id) },
  remove: { icon: 'remove', when: () => true, danger: true, run: (c) => docker.remove(c.id, c) },
};

/** @param {string} name @param {any[]} containers @returns {Promise<boolean>} */
export async function act(name, containers) {
  const action = actions[name];
  const list = containers.filter(action.when);
  if (!list.length) return false;
  const names = list.length === 1 ? visible(list[0].name) : t('containers.count', { n: list.length });
  let options = {};
  if (name === 'remove') {
    const live = list.some((c) => running(c) || paused(c));
    const answer = await confirm({
      title: t('remove.title', { name: names }), text: live ? t('remove.running') : t('remove.text'), action: t('action.remove'), danger: true,
      type: list.length > 5 ? String(list.length) : undefined, choices: [{ key: 'volumes', label: t('remove.volumes') }],
    });
    if (!answer) return false;
    options = { force: live, volumes: answer.volumes };
  } else if (name === 'kill' || ((name === 'stop' || name === 'restart') && list.length > 1)) {
    if (!(await confirm({ title: t('confirm.' + name, { name: names }), action: t('action.' + name), danger: name === 'kill' }))) return false;
  }
  let failed = 0, done = 0;
  const acted = /** @type {any[]} */ ([]);
  /* Many take a while: how far they are. */
  const shown = list.length > 3 ? progress(t('bulk.progress', { action: t('action.' + name), done: 0, n: list.length })) : null;
  let message = '';
  /* A few at a time: two hundred at once would only queue in the server. */
  const queue = [...list];
  await Promise.all(Array.from({ length: Math.min(6, queue.length) }, async () => {
    for (let c = queue.shift(); c; c = queue.shift())
      try { await action.run({ ...c, ...options }); acted.push(c); } catch (error) { failed++; message = error.message; } finally { shown?.say(t('bulk.progress', { action: t('action.' + name), done: ++done, n: list.length })); }
  }));
  shown?.end();
  refreshAll('');
  if (failed) toast(list.length === 1 ? message : t('bulk.failed', { n: failed, message }), { kind: 'error' });
  else toast(t('done.' + name, { name: names }), action.undo ? { action: { label: t('undo'), run: () => attempt(() => Promise.all(acted.map((c) => actions[action.undo].run(c))).finally(() => refreshAll(''))) } } : {});
  return !failed;
}

/** Menu entries for one container. */
export function actionItems(container, names = Object.keys(actions)) {
  if (!can('operate')) return [];
  return names.filter((name) => actions[name].when(container)).map((name) => ({
    label: t('action.' + name), icon: actions[name].icon, danger: actions[name].danger, run: () => { act(name, [container]); },
  }));
}
