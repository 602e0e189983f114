/* actions.js - what can be done to a container. */
import { t } from './i18n.js';
import { docker } from './api.js';
import { can } from './session.js';
import { carryOut, written } from './many.js';

const running = (c) => c.state === 'running';
const paused = (c) => c.state === 'paused';
const live = (c) => running(c) || paused(c);
const several = (list) => list.length > 1 && {};

/** @type {import('./many.js').Kind} */
export const containers = {
  name: (c) => c.name, count: (n) => t('containers.count', { n }), topic: '',
  actions: {
    start: { icon: 'play', when: (c) => !live(c), run: (c) => docker.start(c.id) },
    stop: { icon: 'stop', when: live, undo: 'start', question: several, run: (c) => docker.stop(c.id) },
    restart: { icon: 'restart', when: running, question: several, run: (c) => docker.restart(c.id) },
    pause: { icon: 'pause', when: running, undo: 'unpause', run: (c) => docker.pause(c.id) },
    unpause: { icon: 'play', when: paused, undo: 'pause', run: (c) => docker.unpause(c.id) },
    kill: { icon: 'signal', when: running, danger: true, question: () => ({}), run: (c) => docker.kill(c.id) },
    remove: {
      icon: 'remove', danger: true,
      question: (list) => {
        const n = list.filter(live).length;
        return {
          text: (n ? (list.length > 1 ? t('remove.runningMany', { n }) : t('remove.running')) + ' ' : '') + t('remove.text', { n: list.length }),
          type: written(list), choices: [{ key: 'volumes', label: t('remove.volumes', { n: list.length }) }],
        };
      },
      run: (c, { volumes }) => docker.remove(c.id, { force: live(c), volumes }),
    },
  },
};
export const { actions } = containers;

/** @param {string} name @param {any[]} list */
export const act = (name, list) => carryOut(containers, name, list);

/** Menu entries for one container. */
export function actionItems(container, names = Object.keys(actions)) {
  if (!can('operate')) return [];
  return names.filter((name) => actions[name].when?.(container) ?? true).map((name) => ({
    label: t('action.' + name), icon: actions[name].icon, danger: actions[name].danger, run: () => { act(name, [container]); },
  }));
}
