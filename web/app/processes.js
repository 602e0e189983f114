/* processes.js - lists of processes as the views need them: keyed, nested, searched,
 * and the words for a comparison. No DOM here. */
import { fold, visible } from './text.js';

/** @typedef {{pid: number, ppid: number, user: string, name: string, command: string, state: string, threads: number,
 *   cpuPercent: number, memoryBytes: number, startedAt: string, hostPid?: number, containerId?: string,
 *   worker?: boolean, kernelThread?: boolean}} Process */
/** @typedef {{relation: 'same'|'container-only'|'host-only'|'worker', container: Process|null, host: Process|null}} Row */

/* Asked for again and again, of thousands: made once for each. */
/** @param {(of: any) => string} make */
export const once = (make, keys = new WeakMap()) => (/** @type {any} */ of) => {
  let key = keys.get(of);
  if (key === undefined) keys.set(of, (key = make(of)));
  return key;
};

/** A number alone does not name a process: it is used again. @type {(p: Process) => string} */
export const processKey = once((p) => p.pid + '@' + p.startedAt);
/** @type {(row: Row) => string} */
export const rowKey = once((row) => (row.container ? 'c' + processKey(row.container) : '') + (row.host ? 'h' + processKey(row.host) : ''));

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });
/* A second's fraction may be of any length: read as a number, .5 would come before .25. */
const TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;
const ordered = (a, b) => {
  if (!TIME.test(a) || !TIME.test(b)) return collator.compare(a, b);
  const [x, y] = [a.slice(0, -1), b.slice(0, -1)];
  return x < y ? -1 : x > y ? 1 : 0;
};
/** @param {string} key @param {boolean} descending */
export function by(key, descending) {
  const sign = descending ? -1 : 1;
  return (a, b) => {
    const x = a[key], y = b[key];
    if (x == null || y == null) return x == null ? (y == null ? 0 : 1) : -1;
    const order = typeof x === 'number' ? x - y : ordered(String(x), String(y));
    return sign * order;
  };
}

/**
 * A list in the order of its tree, each with its depth. Loops (data of two
 * instants, or a guest's inventions) are cut.
 * @template T
 * @param {T[]} items
 * @param {{pid: (item: T) => number, ppid: (item: T) => number, compare: (a: T, b: T) => number, closed?: Set<any>, key?: (item: T) => any}} how
 * @returns {{item: T, depth: number, children: number, last: boolean}[]}
 */
export function treeOrder(items, how) {
  const present = new Map(items.map((item) => [how.pid(item), item]));
  const below = new Map();
  const roots = [];
  for (const item of items) {
    const parent = how.ppid(item);
    if (parent === how.pid(item) || !present.has(parent)) roots.push(item);
    else if (below.has(parent)) below.get(parent).push(item);
    else below.set(parent, [item]);
  }
  const out = [];
  const seen = new Set();
  const stack = [];
  const push = (list, depth) => {
    const sorted = [...list].sort(how.compare);
    for (let i = sorted.length - 1; i >= 0; i--) stack.push({ item: sorted[i], depth, last: i === sorted.length - 1 });
  };
  const drain = () => {
    while (stack.length) {
      const { item, depth, last } = stack.pop();
      if (seen.has(item)) continue;
      seen.add(item);
      const children = below.get(how.pid(item)) ?? [];
      out.push({ item, depth: Math.min(depth, 24), children: children.length, last });
      if (!how.closed?.has(how.key ? how.key(item) : item)) push(children, depth + 1);
      else hide(children);
    }
  };
  const hide = (list) => {
    for (const item of list) {
      if (seen.has(item)) continue;
      seen.add(item);
      hide(below.get(how.pid(item)) ?? []);
    }
  };
  push(roots, 0);
  drain();
  for (const item of items)
    if (!seen.has(item)) {
      stack.push({ item, depth: 0, last: true });
      drain();
    }
  return out;
}

/** @param {Process} p @param {string} text folded */
export function matches(p, text) {
  if (!text) return true;
  return String(p.pid) === text || fold(p.name).includes(text) || fold(p.command).includes(text) || fold(p.user).includes(text);
}

/**
 * What a search finds on either side, for "found here, not there".
 * @param {Row[]} rows @param {string} search
 */
export function searchSides(rows, search) {
  const text = fold(search.trim());
  const result = { text, container: 0, host: 0, same: 0 };
  if (!text) return result;
  for (const row of rows) {
    const inside = !!row.container && matches(row.container, text);
    const outside = !!row.host && matches(row.host, text);
    if (inside) result.container++;
    if (outside) result.host++;
    if (row.relation === 'same' && (inside || outside)) result.same++;
  }
  return result;
}

/** The two sides' lists of one comparison. @param {Row[]} rows */
export function sides(rows) {
  return {
    container: rows.filter((row) => row.container),
    host: rows.filter((row) => row.host && row.relation !== 'worker'),
  };
}

/**
 * What changed between two moments: born, ended, stayed.
 * @param {Row[]} before @param {Row[]} after
 */
export function difference(before, after) {
  const was = new Map(before.map((row) => [rowKey(row), row]));
  const is = new Map(after.map((row) => [rowKey(row), row]));
  return {
    born: after.filter((row) => !was.has(rowKey(row))),
    ended: before.filter((row) => !is.has(rowKey(row))),
    stayed: after.filter((row) => was.has(rowKey(row))),
  };
}

/** One process in a line. @param {Row} row @param {(key: string, values?: any) => string} t */
export function chosenText(row, t) {
  const p = /** @type {Process} */ (row.container ?? row.host);
  return t('ticket.chosen', { name: visible(p.name), relation: t('relation.' + row.relation), inside: String(row.container?.pid ?? '–'), outside: String(row.host?.pid ?? '–'), user: visible(row.container?.user ?? p.user), started: p.startedAt });
}

/** What changed between two moments, in lines. @param {{born: Row[], ended: Row[], stayed: Row[]}} diff @param {(key: string, values?: any) => string} t @param {string} between */
export function diffText(diff, t, between) {
  const name = (row) => `${visible((row.container ?? row.host).command || (row.container ?? row.host).name)} (${(row.container ?? row.host).pid})`;
  return [between, ...[['born', '+'], ['ended', '-']].flatMap(([kind, sign]) => [t(`diff.${kind}Count`, { n: diff[kind].length }), ...diff[kind].map((row) => `  ${sign} ${name(row)}`)]), t('diff.stayedCount', { n: diff.stayed.length })];
}

/** A comparison as plain text, for a ticket. @param {any} comparison @param {(key: string, values?: any) => string} t @param {string} sentence @param {string} link @param {string[]} [notes] */
export function ticketText(comparison, t, sentence, link, notes = []) {
  const { container, boundary } = comparison;
  const pad = (text, width) => String(text).padEnd(width);
  const num = (text, width) => String(text ?? '').padStart(width);
  const lines = [
    t('ticket.title', { name: visible(container.name), when: comparison.sampledAt ?? '' }),
    t('ticket.wall', { isolation: container.isolation, kernel: t('kernel.' + boundary.kernel), accelerator: boundary.accelerator ?? '–' }),
    sentence,
    ...notes,
    '',
    pad(t('ticket.relation'), 16) + num(t('ticket.inside'), 9) + num(t('ticket.onHost'), 9) + '  ' + t('process.command'),
  ];
  for (const row of comparison.rows) {
    const shown = row.container ?? row.host;
    lines.push(pad(t('relation.' + row.relation), 16) + num(row.container?.pid ?? '–', 9) + num(row.host?.pid ?? '–', 9) + '  ' +
      visible(shown.command || shown.name));
  }
  lines.push('', link);
  return lines.join('\n') + '\n';
}

/** One sentence that sums up what is seen. @param {any} comparison @param {(key: string, values?: any) => string} t */
export function sentenceOf(comparison, t, has) {
  const key = String(comparison.boundary.explanationKey ?? '').replace(/-host$/, '');
  const name = visible(comparison.container.name);
  const first = comparison.rows.find((row) => row.relation === 'same');
  const worker = comparison.worker;
  const values = {
    name, n: comparison.summary.same + comparison.summary.containerOnly,
    inside: String(first?.container?.pid ?? ''), outside: String(first?.host?.pid ?? ''),
    process: visible(first?.container?.name ?? ''), worker: worker ? visible(worker.name) : 'vmwp',
    workerPid: String(worker?.pid ?? '–'),
  };
  const known = 'explain.' + key;
  let text = has(known) ? t(first && has(known + '.pair') ? known + '.pair' : known, values) : comparison.boundary.explanation;
  if (key.startsWith('vm') && !worker) text = has('explain.vm.noworker') ? t('explain.vm.noworker', values) : text;
  return text;
}
