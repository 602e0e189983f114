/* notices.js - notifications in words, and what is new among them. */
import { t, has, language, number } from './i18n.js';
import { tabique } from './api.js';
import { useLive } from './live.js';
import { visible } from './text.js';

export const kinds = ['exit', 'oom', 'unhealthy', 'restart-loop', 'worker-lost', 'cpu', 'memory'];
/** Which fields a kind of rule has. */
export const takes = {
  above: (kind) => kind === 'cpu' || kind === 'memory',
  seconds: (kind) => kind === 'cpu' || kind === 'memory' || kind === 'restart-loop',
  count: (kind) => kind === 'restart-loop',
};

/* A fresh installation's rules have English names from the server: in another
 * language they are called by their kind, as long as nobody renamed them. */
/** @param {string} kind @param {string} name @param {boolean} first it has the name of a fresh installation */
export const ruleName = (kind, name, first) => (first && language.get() !== 'en' ? t('noticeKind.' + kind) : visible(name));

/** One sentence, as webhooks and mail say it. */
export function sentence(n) {
  const key = 'notice.' + n.kind;
  const values = Object.fromEntries(Object.entries(n.detail ?? {}).map(([name, value]) => [name, typeof value === 'number' ? number(value, Number.isInteger(value) ? 0 : 1) : visible(String(value))]));
  return has(key) ? t(key, { container: visible(n.container), ...values }) : visible(n.kind);
}

/** The newest of those that nobody has acknowledged, and how many there are. */
export const useNews = () => useLive('news', () => tabique.notifications({ unacknowledged: 1, limit: 20 }), { interval: 5000 });
